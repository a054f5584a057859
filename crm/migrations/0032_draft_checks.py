"""What 0029 and 0030 demand of new follow-ups holds for those that were there before, too."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False  # each reads the table under a lock of its own

    dependencies = [("crm", "0031_draft_settled_index")]

    operations = [
        ValidateConstraint(model_name="followup", name="crm_followup_tone_known"),
        ValidateConstraint(model_name="followup", name="crm_followup_length_known"),
        ValidateConstraint(model_name="followup", name="crm_followup_language_known"),
        ValidateConstraint(model_name="followup", name="crm_followup_edit_ratio_0_to_1"),
    ]
