"""The replay lab, and which version of its prompt each kind of agent uses."""

import django.db.models.deletion
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ai_agents', '0008_scoring_choice'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Replay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('kind', models.CharField(max_length=40)),
                ('provider', models.CharField(max_length=20)),
                ('present_prompt', models.CharField(max_length=60)),
                ('present_model', models.CharField(max_length=120)),
                ('candidate_prompt', models.CharField(max_length=60)),
                ('candidate_model', models.CharField(max_length=120)),
                ('leads', models.PositiveIntegerField(help_text='how many are asked about')),
                ('known_days', models.PositiveSmallIntegerField(help_text='what came later than this after the lead, or after its outcome, is not shown')),
                ('state', models.CharField(choices=[('running', 'Running'), ('done', 'Done'), ('stopped', 'Stopped')], default='running', max_length=8)),
                ('note', models.CharField(blank=True, help_text='why it stopped', max_length=200)),
                ('report', models.JSONField(blank=True, default=dict)),
                ('busy_until', models.DateTimeField(blank=True, help_text='a worker is at it', null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('requested_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ('-pk',),
            },
        ),
        migrations.CreateModel(
            name='ReplayAnswer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('arm', models.CharField(choices=[('present', 'In use'), ('candidate', 'Candidate')], max_length=9)),
                ('lead_key', models.BigIntegerField()),
                ('won', models.BooleanField()),
                ('known_until', models.DateTimeField()),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('answered', 'Answered'), ('invalid', 'Not readable'), ('refused', 'Refused'), ('failed', 'No answer'), ('unread', 'Nothing to read')], default='waiting', max_length=8)),
                ('tries', models.PositiveSmallIntegerField(default=0)),
                ('fit', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('action', models.CharField(blank=True, max_length=20)),
                ('cost_usd', models.DecimalField(decimal_places=6, default=0, max_digits=12)),
                ('replay', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='answers', to='ai_agents.replay')),
                ('task', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='replay_answers', to='ai_agents.agenttask')),
            ],
        ),
        migrations.CreateModel(
            name='PromptUse',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('kind', models.CharField(max_length=40)),
                ('prompt', models.CharField(max_length=60)),
                ('previous', models.CharField(max_length=60)),
                ('because', models.CharField(blank=True, max_length=200)),
                ('by_label', models.CharField(blank=True, max_length=120)),
                ('by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ('-pk',),
                'indexes': [models.Index(fields=['kind', '-id'], name='ai_agents_promptuse_newest')],
                'constraints': [models.CheckConstraint(condition=models.Q(('prompt', models.F('previous')), _negated=True), name='ai_agents_promptuse_changes')],
            },
        ),
        migrations.AddConstraint(
            model_name='replay',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['running', 'done', 'stopped'])), name='ai_agents_replay_state_known'),
        ),
        migrations.AddConstraint(
            model_name='replay',
            constraint=models.CheckConstraint(condition=models.Q(('candidate_model', models.F('present_model')), ('candidate_prompt', models.F('present_prompt')), _negated=True), name='ai_agents_replay_compares'),
        ),
        migrations.AddIndex(
            model_name='replayanswer',
            index=models.Index(condition=models.Q(('state', 'waiting')), fields=['replay', 'id'], name='ai_agents_replay_waiting'),
        ),
        migrations.AddConstraint(
            model_name='replayanswer',
            constraint=models.UniqueConstraint(fields=('replay', 'lead_key', 'arm'), name='ai_agents_replayanswer_once'),
        ),
        migrations.AddConstraint(
            model_name='replayanswer',
            constraint=models.CheckConstraint(condition=models.Q(('arm__in', ['present', 'candidate'])), name='ai_agents_replayanswer_arm_known'),
        ),
        migrations.AddConstraint(
            model_name='replayanswer',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['waiting', 'answered', 'invalid', 'refused', 'failed', 'unread'])), name='ai_agents_replayanswer_state_known'),
        ),
        migrations.AddConstraint(
            model_name='replayanswer',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'answered'), _negated=True), models.Q(('fit__isnull', False), ('fit__range', (0, 100))), _connector='OR'), name='ai_agents_replayanswer_answered_has_fit'),
        ),
    ]
