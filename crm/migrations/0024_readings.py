"""What agents read in replies and opportunities, and what would change a score."""

import django.db.models.deletion
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ai_agents', '0004_task_opportunity_index'),
        ('crm', '0023_stage_statistics'),
    ]

    operations = [
        migrations.AddField(
            model_name='score',
            name='would_change',
            field=models.JSONField(blank=True, default=list, help_text='what would change the judgement, in a few words each'),
        ),
        migrations.CreateModel(
            name='OpportunityReview',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('is_current', models.BooleanField(default=True)),
                ('summary', models.CharField(max_length=400)),
                ('next_step', models.CharField(max_length=200)),
                ('band', models.CharField(choices=[('unlikely', 'Unlikely, under 25 %'), ('open', 'Open, 25 to 50 %'), ('likely', 'Likely, 50 to 75 %'), ('very_likely', 'Very likely, over 75 %')], max_length=11)),
                ('dropped_risks', models.PositiveSmallIntegerField(default=0, help_text='risks whose quote was not found in the record')),
                ('provider', models.CharField(blank=True, help_text='"scripted" marks a sample', max_length=20)),
                ('model', models.CharField(blank=True, max_length=120)),
                ('prompt', models.CharField(blank=True, max_length=60)),
                ('opportunity', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='reviews', to='crm.opportunity')),
                ('task', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='opportunity_reviews', to='ai_agents.agenttask')),
            ],
        ),
        migrations.CreateModel(
            name='OpportunityRisk',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveSmallIntegerField(default=0)),
                ('label', models.CharField(max_length=120)),
                ('quote', models.CharField(max_length=400)),
                ('source_kind', models.CharField(choices=[('inquiry', 'Inquiry'), ('message', 'Message'), ('note', 'Note'), ('call', 'Call'), ('field', 'Field'), ('event', 'Event')], max_length=8)),
                ('source_id', models.BigIntegerField(blank=True, null=True)),
                ('field', models.CharField(blank=True, max_length=60)),
                ('start', models.PositiveIntegerField()),
                ('end', models.PositiveIntegerField()),
                ('review', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='risks', to='crm.opportunityreview')),
            ],
            options={
                'ordering': ('position',),
            },
        ),
        migrations.CreateModel(
            name='ReplyTriage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('intent', models.CharField(choices=[('interested', 'Interested'), ('question', 'Asks a question'), ('not_now', 'Not now'), ('not_interested', 'Not interested'), ('out_of_office', 'Out of office'), ('unsubscribe', 'Wants no more mail'), ('spam', 'Spam')], max_length=14)),
                ('step', models.CharField(choices=[('answer', 'Answer by e-mail'), ('call', 'Call'), ('meeting', 'Propose a meeting'), ('sleep', 'Let the lead sleep'), ('disqualify', 'Disqualify'), ('suppress', 'Never write to this address again')], max_length=10)),
                ('wake_on', models.DateField(blank=True, help_text='until when to let the lead sleep', null=True)),
                ('summary', models.CharField(max_length=300)),
                ('quote', models.CharField(max_length=400)),
                ('quote_start', models.PositiveIntegerField()),
                ('quote_end', models.PositiveIntegerField()),
                ('state', models.CharField(choices=[('proposed', 'Proposed'), ('accepted', 'Accepted'), ('dismissed', 'Dismissed'), ('stale', 'Out of date')], default='proposed', max_length=9)),
                ('decided_at', models.DateTimeField(blank=True, null=True)),
                ('provider', models.CharField(blank=True, help_text='"scripted" marks a sample', max_length=20)),
                ('model', models.CharField(blank=True, max_length=120)),
                ('prompt', models.CharField(blank=True, max_length=60)),
                ('decided_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('lead', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='reply_triages', to='crm.lead')),
                ('message', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='triages', to='crm.message')),
                ('task', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reply_triages', to='ai_agents.agenttask')),
            ],
            options={
                'verbose_name_plural': 'reply triages',
            },
        ),
        migrations.AddConstraint(
            model_name='opportunityreview',
            constraint=models.UniqueConstraint(condition=models.Q(('is_current', True)), fields=('opportunity',), name='crm_opportunityreview_one_current'),
        ),
        migrations.AddConstraint(
            model_name='opportunityreview',
            constraint=models.CheckConstraint(condition=models.Q(('band__in', ['unlikely', 'open', 'likely', 'very_likely'])), name='crm_opportunityreview_band_known'),
        ),
        migrations.AddConstraint(
            model_name='opportunityrisk',
            constraint=models.UniqueConstraint(fields=('review', 'position'), name='crm_opportunityrisk_position_once'),
        ),
        migrations.AddConstraint(
            model_name='opportunityrisk',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('quote', ''), _negated=True), ('source_kind__in', ['inquiry', 'message', 'note', 'call', 'field', 'event']), models.Q(('source_id__isnull', False), models.Q(('field', ''), _negated=True), _connector='OR'), ('end__gt', models.F('start'))), name='crm_opportunityrisk_has_place'),
        ),
        migrations.AddConstraint(
            model_name='replytriage',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'proposed')), fields=('message',), name='crm_replytriage_one_proposed'),
        ),
        migrations.AddConstraint(
            model_name='replytriage',
            constraint=models.CheckConstraint(condition=models.Q(('intent__in', ['interested', 'question', 'not_now', 'not_interested', 'out_of_office', 'unsubscribe', 'spam'])), name='crm_replytriage_intent_known'),
        ),
        migrations.AddConstraint(
            model_name='replytriage',
            constraint=models.CheckConstraint(condition=models.Q(('step__in', ['answer', 'call', 'meeting', 'sleep', 'disqualify', 'suppress'])), name='crm_replytriage_step_known'),
        ),
        migrations.AddConstraint(
            model_name='replytriage',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['proposed', 'accepted', 'dismissed', 'stale'])), name='crm_replytriage_state_known'),
        ),
        migrations.AddConstraint(
            model_name='replytriage',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('quote', ''), _negated=True), ('quote_end__gt', models.F('quote_start'))), name='crm_replytriage_quote_has_place'),
        ),
        migrations.AddConstraint(
            model_name='replytriage',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('step', 'sleep'), _negated=True), ('wake_on__isnull', False), _connector='OR'), name='crm_replytriage_sleep_has_date'),
        ),
        migrations.AddConstraint(
            model_name='replytriage',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['accepted', 'dismissed']), _negated=True), models.Q(('decided_at__isnull', False), ('decided_by__isnull', False)), _connector='OR'), name='crm_replytriage_decided_by_somebody'),
        ),
    ]
