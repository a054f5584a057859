"""What no model can say: an opportunity's state is its stage's kind, and history is not rewritten."""

from django.db import migrations

STATE_FOLLOWS_STAGE = """
ALTER TABLE crm_opportunity ADD CONSTRAINT crm_opportunity_state_follows_stage
    FOREIGN KEY (stage_id, state) REFERENCES crm_stage (id, kind) DEFERRABLE INITIALLY DEFERRED;
"""
NOT_STATE_FOLLOWS_STAGE = "ALTER TABLE crm_opportunity DROP CONSTRAINT crm_opportunity_state_follows_stage;"

TABLES = ("crm_leadstatuschange", "crm_stagechange", "crm_scoreoutcome", "crm_scoreoverride")
APPEND_ONLY = "".join(
    f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
    "FOR EACH ROW EXECUTE FUNCTION crm_append_only();\n"
    for table in TABLES
)
NOT_APPEND_ONLY = "".join(f"DROP TRIGGER {table}_append_only ON {table};\n" for table in TABLES)

# No maintenance reason opens these two. Where there is an app role, it lacks the right as well.
INSERT_ONLY = """
CREATE FUNCTION crm_insert_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is insert-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER crm_auditlog_insert_only BEFORE UPDATE OR DELETE ON crm_auditlog
    FOR EACH ROW EXECUTE FUNCTION crm_insert_only();
CREATE TRIGGER crm_auditseal_insert_only BEFORE UPDATE OR DELETE ON crm_auditseal
    FOR EACH ROW EXECUTE FUNCTION crm_insert_only();
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gardenos_app') THEN
        REVOKE UPDATE, DELETE, TRUNCATE ON crm_auditlog, crm_auditseal FROM gardenos_app;
    END IF;
END $$;
"""
NOT_INSERT_ONLY = """
DROP TRIGGER crm_auditlog_insert_only ON crm_auditlog;
DROP TRIGGER crm_auditseal_insert_only ON crm_auditseal;
DROP FUNCTION crm_insert_only();
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gardenos_app') THEN
        GRANT UPDATE, DELETE ON crm_auditlog, crm_auditseal TO gardenos_app;
    END IF;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("crm", "0003_domain")]

    operations = [
        migrations.RunSQL(STATE_FOLLOWS_STAGE, NOT_STATE_FOLLOWS_STAGE),
        migrations.RunSQL(APPEND_ONLY, NOT_APPEND_ONLY),
        migrations.RunSQL(INSERT_ONLY, NOT_INSERT_ONLY),
    ]
