"""Circuits of the providers, and fits of the statistical score."""

import crm.clock
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ai_agents', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='ProviderHealth',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('provider', models.CharField(max_length=20)),
                ('model', models.CharField(max_length=120)),
                ('state', models.CharField(choices=[('closed', 'Closed'), ('open', 'Open'), ('half_open', 'Half Open')], default='closed', max_length=9)),
                ('failures', models.PositiveIntegerField(default=0, help_text='in a row')),
                ('reason', models.CharField(blank=True, help_text='of the last failure', max_length=200)),
                ('opened_at', models.DateTimeField(blank=True, null=True)),
                ('retry_at', models.DateTimeField(blank=True, help_text='from when one call may try', null=True)),
                ('probe', models.UUIDField(blank=True, help_text='the token of the call that tries', null=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('provider', 'model'), name='ai_agents_providerhealth_once'), models.CheckConstraint(condition=models.Q(('state__in', ['closed', 'open', 'half_open'])), name='ai_agents_providerhealth_state_known'), models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['open', 'half_open']), _negated=True), models.Q(('opened_at__isnull', False), ('retry_at__isnull', False)), _connector='OR'), name='ai_agents_providerhealth_open_has_times'), models.CheckConstraint(condition=models.Q(models.Q(('probe__isnull', False), ('state', 'half_open')), models.Q(models.Q(('state', 'half_open'), _negated=True), ('probe__isnull', True)), _connector='OR'), name='ai_agents_providerhealth_probe_while_half_open')],
            },
        ),
        migrations.CreateModel(
            name='ScoringModel',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('fitted_at', models.DateTimeField(default=crm.clock.now)),
                ('rows', models.PositiveIntegerField(help_text='leads with an outcome that it was fitted on')),
                ('weights', models.JSONField(default=dict, help_text='feature -> weight, the intercept beside them')),
                ('metrics', models.JSONField(default=dict, help_text='AUC, Brier, ECE on held-out leads, and the base rate')),
                ('is_active', models.BooleanField(default=False)),
                ('note', models.CharField(blank=True, help_text='why it is, or is not, active', max_length=200)),
            ],
            options={
                'ordering': ('-fitted_at',),
                'constraints': [models.UniqueConstraint(condition=models.Q(('is_active', True)), fields=('is_active',), name='ai_agents_scoringmodel_one_active'), models.CheckConstraint(condition=models.Q(('rows__gte', 1)), name='ai_agents_scoringmodel_has_rows'), models.CheckConstraint(condition=models.Q(('is_active', False), models.Q(('weights', {}), _negated=True), _connector='OR'), name='ai_agents_scoringmodel_active_has_weights')],
            },
        ),
    ]
