"""Append-only said precisely: who merges or undoes may re-hang rows, not rewrite them; history rows stay.

`merge` and `undo` change only the keys that say which record a row hangs on; `undo`, `retention` and `erase`
delete; `erase` alone changes what a row says.
"""

from django.db import migrations

FUNCTION = """
CREATE OR REPLACE FUNCTION crm_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    reason text := coalesce(current_setting('gardenos.maintenance', true), '');
    links text[] := '{lead_id,contact_id,account_id,opportunity_id}';
BEGIN
    IF reason = 'erase' THEN
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    ELSIF TG_OP = 'DELETE' AND reason IN ('undo', 'retention') THEN
        RETURN OLD;
    ELSIF TG_OP = 'UPDATE' AND reason IN ('merge', 'undo') AND to_jsonb(OLD) - links = to_jsonb(NEW) - links THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
"""
FUNCTION_BEFORE = """
CREATE OR REPLACE FUNCTION crm_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('gardenos.maintenance', true), '') IN ('merge', 'erase', 'undo', 'retention') THEN
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
"""
TRACKED = (
    "account assignmentrule calllog captureform contact contactpoint customfield duplicatecandidate enrollment "
    "exchangerate followup lead leadsource mailaccount note opportunity pipeline rule savedview sequence stage "
    "step tag task team teammember template user webhookendpoint"
).split()
STAYS = "".join(
    f"CREATE TRIGGER crm_pghistory_{name}_append_only BEFORE UPDATE OR DELETE ON crm_pghistory_{name} "
    "FOR EACH ROW EXECUTE FUNCTION crm_append_only();\n"
    for name in TRACKED
)
GOES = "".join(f"DROP TRIGGER crm_pghistory_{name}_append_only ON crm_pghistory_{name};\n" for name in TRACKED)


class Migration(migrations.Migration):
    dependencies = [("crm", "0007_history")]

    operations = [
        migrations.RunSQL(FUNCTION, FUNCTION_BEFORE),
        migrations.RunSQL(STAYS, GOES),
    ]
