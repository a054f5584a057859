"""A follow-up knows whose lead it is about, so that Today finds a person's drafts without looking at all others.

Two triggers keep it the lead's. Actions lock the lead before its follow-ups, and so does the second trigger.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

TRIGGERS = """
CREATE FUNCTION crm_followup_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT owner_id, team_id INTO NEW.owner_id, NEW.team_id FROM crm_lead WHERE id = NEW.lead_id;
    RETURN NEW;
END $$;
CREATE TRIGGER crm_followup_owner BEFORE INSERT OR UPDATE OF lead_id ON crm_followup
    FOR EACH ROW EXECUTE FUNCTION crm_followup_owner();

CREATE FUNCTION crm_lead_follow_up_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE crm_followup SET owner_id = NEW.owner_id, team_id = NEW.team_id WHERE lead_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER crm_lead_follow_up_owner AFTER UPDATE OF owner_id, team_id ON crm_lead
    FOR EACH ROW WHEN (OLD.owner_id IS DISTINCT FROM NEW.owner_id OR OLD.team_id IS DISTINCT FROM NEW.team_id)
    EXECUTE FUNCTION crm_lead_follow_up_owner();
"""
NO_TRIGGERS = """
DROP TRIGGER crm_followup_owner ON crm_followup;
DROP FUNCTION crm_followup_owner();
DROP TRIGGER crm_lead_follow_up_owner ON crm_lead;
DROP FUNCTION crm_lead_follow_up_owner();
"""


class Migration(migrations.Migration):
    dependencies = [("crm", "0017_answer_clock")]

    operations = [
        migrations.AddField(
            model_name="followup",
            name="owner",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                help_text="the lead's, as its team: so Today finds a person's drafts. Kept by triggers",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="followup",
            name="team",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="crm.team",
            ),
        ),
        migrations.RunSQL(TRIGGERS, NO_TRIGGERS),
    ]
