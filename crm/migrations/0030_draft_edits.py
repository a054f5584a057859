"""What became of a draft: how much of it was changed, why it was dismissed, since when it is over."""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("crm", "0029_draft_wishes")]

    operations = [
        migrations.AddField(
            model_name="followup",
            name="reject_note",
            field=models.CharField(blank=True, db_default="", default="", max_length=300),
        ),
        migrations.AddField(
            model_name="followup",
            name="edit_ratio",
            field=models.FloatField(
                blank=True,
                help_text="share of an agent's words that its approver changed, 0 to 1; NULL: not approved, or"
                " no agent's text",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="followup",
            name="settled_at",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="when it was sent, dismissed, or out of date",
                null=True,
            ),
        ),
        AddConstraintNotValid(  # read against the rows in 0032
            model_name="followup",
            constraint=models.CheckConstraint(
                condition=Q(edit_ratio=None) | Q(edit_ratio__range=(0, 1)),
                name="crm_followup_edit_ratio_0_to_1",
            ),
        ),
    ]
