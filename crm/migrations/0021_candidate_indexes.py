"""Deleting a lead, contact or account asks for its pairs: undoing an import read all pairs for every lead."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # built beside running work, without a lock on the table

    dependencies = [("crm", "0020_import_assign")]

    operations = [
        AddIndexConcurrently(
            model_name="duplicatecandidate",
            index=models.Index(
                fields=[f"{target}_a"],
                name=f"crm_candidate_{target}_a",
                condition=models.Q((f"{target}_a__isnull", False)),
            ),
        )
        for target in ("lead", "contact", "account")
    ]
