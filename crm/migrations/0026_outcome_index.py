"""Leads with an outcome, the newest first: what scores are fitted on and graded by."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # built beside running work, without a lock on the table

    dependencies = [("crm", "0025_scored_fields")]

    operations = [
        AddIndexConcurrently(
            model_name="lead",
            index=models.Index(
                models.F("outcome_at").desc(),
                models.F("id").desc(),
                name="crm_lead_outcome_newest",
                condition=models.Q(outcome_at__isnull=False),
            ),
        )
    ]
