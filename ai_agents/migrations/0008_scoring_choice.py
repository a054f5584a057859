"""A person may choose a fit of the statistical score; scoring all leads knows where it stands."""

from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ai_agents', '0007_budget_caps'),
    ]

    operations = [
        migrations.AddField(
            model_name='scoringmodel',
            name='is_pinned',
            field=models.BooleanField(db_default=False, default=False, help_text='a person chose it: no refit takes its place'),
        ),
        migrations.AddField(
            model_name='scoringmodel',
            name='scored_at',
            field=models.DateTimeField(blank=True, help_text='when all open leads were', null=True),
        ),
        migrations.AddField(
            model_name='scoringmodel',
            name='scored_to',
            field=models.BigIntegerField(db_default=0, default=0, help_text='key of the last lead that was scored by it, in their order'),
        ),
        AddConstraintNotValid(
            model_name="scoringmodel",
            constraint=models.CheckConstraint(
                name="ai_agents_scoringmodel_pinned_is_active",
                condition=models.Q(is_pinned=False) | models.Q(is_active=True),
            ),
        ),
        ValidateConstraint(
            model_name="scoringmodel", name="ai_agents_scoringmodel_pinned_is_active"
        ),
    ]
