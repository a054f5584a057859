"""The tasks of an opportunity are found by it."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # built beside running work, without a lock on the table

    dependencies = [("ai_agents", "0003_task_opportunity")]

    operations = [
        AddIndexConcurrently(
            model_name="agenttask",
            index=models.Index(
                fields=["opportunity", "kind", "-id"],
                name="ai_agents_task_opportunity",
                condition=models.Q(("opportunity__isnull", False)),
            ),
        ),
    ]
