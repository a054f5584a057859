"""A rule may propose what to do about a reply, without an agent's task."""

import django.db.models.deletion
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("crm", "0032_draft_checks")]

    operations = [
        migrations.AlterField(
            model_name="replytriage",
            name="task",
            field=models.ForeignKey(
                blank=True,
                help_text="none: a rule proposes it",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="reply_triages",
                to="ai_agents.agenttask",
            ),
        ),
        migrations.AlterField(
            model_name="replytriage",
            name="provider",
            field=models.CharField(
                blank=True, help_text='"scripted" marks a sample, "rule" plain code', max_length=20
            ),
        ),
        AddConstraintNotValid(  # read against the rows in 0034
            model_name="replytriage",
            constraint=models.CheckConstraint(
                condition=Q(task=None, provider="rule") | (Q(task__isnull=False) & ~Q(provider="rule")),
                name="crm_replytriage_task_or_rule",
            ),
        ),
    ]
