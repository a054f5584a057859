"""A task may be about an opportunity."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("ai_agents", "0002_judging"), ("crm", "0021_candidate_indexes")]

    operations = [
        migrations.AddField(
            model_name="agenttask",
            name="opportunity",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="set where it is about one; `lead` is then its lead",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="agent_tasks",
                to="crm.opportunity",
            ),
        ),
    ]
