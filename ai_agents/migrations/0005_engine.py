"""What circuits remember, when pools and budgets stopped, and what the autoscaler may move."""

from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ai_agents', '0004_task_opportunity_index'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='agentpool',
            name='ai_agents_agentpool_target_in_bounds',
        ),
        migrations.AddField(
            model_name='agentpool',
            name='is_auto',
            field=models.BooleanField(db_default=False, default=False, help_text='the autoscaler moves the target'),
        ),
        migrations.AddField(
            model_name='agentpool',
            name='paced_until',
            field=models.DateTimeField(blank=True, help_text='calls up to then are given away', null=True),
        ),
        migrations.AddField(
            model_name='agentpool',
            name='paused_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='budget',
            name='stopped_at',
            field=models.DateTimeField(blank=True, help_text='when it first did not reach', null=True),
        ),
        migrations.AddField(
            model_name='providerhealth',
            name='ms',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='of a call, a moving average'),
        ),
        migrations.AddField(
            model_name='providerhealth',
            name='opens',
            field=models.PositiveSmallIntegerField(db_default=0, default=0, help_text='times in a row that it opened'),
        ),
        migrations.AddField(
            model_name='providerhealth',
            name='recent',
            field=models.CharField(blank=True, db_default='', default='', help_text='the last calls: + answered, - failed', max_length=20),
        ),
        migrations.AddField(
            model_name='providerhealth',
            name='slow_since',
            field=models.DateTimeField(blank=True, null=True),
        ),
        AddConstraintNotValid(
            model_name='agentpool',
            constraint=models.CheckConstraint(condition=models.Q(('min_concurrency__lte', models.F('max_concurrency')), ('target__lte', models.F('max_concurrency'))), name='ai_agents_agentpool_target_in_bounds'),
        ),
        ValidateConstraint(model_name='agentpool', name='ai_agents_agentpool_target_in_bounds'),
    ]
