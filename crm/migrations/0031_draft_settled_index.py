"""Follow-ups by when they were over: what counts them."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # built beside running work, without a lock on the table

    dependencies = [("crm", "0030_draft_edits")]

    operations = [
        AddIndexConcurrently(
            model_name="followup",
            index=models.Index(
                models.F("settled_at"),
                condition=models.Q(settled_at__isnull=False),
                name="crm_followup_settled",
            ),
        )
    ]
