"""What the editable records were before a change: a table and two triggers for each of them."""

import crm.clock
import django.db.models.deletion
import pghistory.utils
import pgtrigger.compiler
import pgtrigger.migrations
import uuid
from django.conf import settings
from django.db import migrations, models


class AllAtOnce(migrations.SeparateDatabaseAndState):
    """Makes the tables and triggers from the last state, instead of drawing all models anew after each of a
    hundred operations, which took a minute.
    """

    MAKE = (migrations.CreateModel, pgtrigger.migrations.AddTrigger)

    def __init__(self, operations):
        super().__init__(state_operations=operations)

    def deconstruct(self):
        return self.__class__.__name__, [self.state_operations], {}

    def state_forwards(self, app_label, state):
        state.__dict__.pop("apps", None)  # drawn again when somebody asks
        super().state_forwards(app_label, state)

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        for operation in self.state_operations:
            if isinstance(operation, self.MAKE):
                operation.database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        for operation in reversed(self.state_operations):
            if isinstance(operation, self.MAKE):
                operation.database_backwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):

    dependencies = [
        ('ai_agents', '0001_initial'),
        ('crm', '0006_report_views'),
    ]

    operations = [AllAtOnce([
        migrations.CreateModel(
            name='AccountHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('name', models.CharField(max_length=200, verbose_name='name')),
                ('domain', models.CharField(blank=True, help_text='lower case, ASCII', max_length=253, verbose_name='domain')),
                ('industry', models.CharField(blank=True, max_length=120, verbose_name='industry')),
                ('size_band', models.CharField(blank=True, choices=[('1', '1'), ('2-10', '2 to 10'), ('11-50', '11 to 50'), ('51-250', '51 to 250'), ('251-1000', '251 to 1,000'), ('1001+', 'more than 1,000')], max_length=8, verbose_name='size')),
                ('website', models.URLField(blank=True, max_length=300, verbose_name='website')),
                ('address', models.TextField(blank=True, max_length=500, verbose_name='address')),
                ('country', models.CharField(blank=True, max_length=2, verbose_name='country')),
                ('deleted_at', models.DateTimeField(blank=True, null=True)),
                ('custom', models.JSONField(blank=True, default=dict, help_text='values of CustomField, by key')),
            ],
            options={
                'verbose_name_plural': 'history of accounts',
                'db_table': 'crm_pghistory_account',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='AssignmentRuleHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('name', models.CharField(max_length=120)),
                ('position', models.PositiveSmallIntegerField(default=0)),
                ('is_active', models.BooleanField(default=True)),
                ('condition', models.JSONField(blank=True, default=dict)),
                ('method', models.CharField(choices=[('fixed', 'One person'), ('round_robin', 'In turn'), ('least_open', 'Fewest open leads'), ('capacity', 'Free capacity, in working hours')], max_length=11)),
            ],
            options={
                'verbose_name_plural': 'history of assignment rules',
                'db_table': 'crm_pghistory_assignmentrule',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='CallLogHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('direction', models.CharField(choices=[('in', 'They called'), ('out', 'We called')], default='out', max_length=3)),
                ('seconds', models.PositiveIntegerField(default=0, verbose_name='length in seconds')),
                ('disposition', models.CharField(choices=[('answered', 'Spoke to them'), ('no_answer', 'No answer'), ('busy', 'Busy'), ('voicemail', 'Left a message'), ('wrong_number', 'Wrong number'), ('call_back', 'Asked to be called back')], max_length=12)),
                ('body', models.TextField(blank=True, max_length=20000, verbose_name='notes')),
                ('occurred_at', models.DateTimeField(default=crm.clock.now)),
            ],
            options={
                'verbose_name_plural': 'history of call logs',
                'db_table': 'crm_pghistory_calllog',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='CaptureFormHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('name', models.CharField(max_length=120, verbose_name='name')),
                ('slug', models.SlugField(db_index=False, max_length=60)),
                ('fields', models.JSONField(default=list)),
                ('intro', models.CharField(blank=True, max_length=500, verbose_name='introduction')),
                ('button', models.CharField(blank=True, max_length=60, verbose_name='button')),
                ('thanks', models.CharField(blank=True, max_length=500, verbose_name='thank-you text')),
                ('consent_text', models.CharField(blank=True, max_length=1000, verbose_name='consent text')),
                ('consent_version', models.PositiveIntegerField(default=1, editable=False)),
                ('allowed_origins', models.JSONField(blank=True, default=list, help_text='sites that may show or post it: ["https://www.example.com"]')),
                ('opt_in', models.CharField(choices=[('none', 'None'), ('double', 'By a link that is mailed to them')], default='none', max_length=6)),
                ('locale', models.CharField(default='en', max_length=10)),
                ('is_active', models.BooleanField(default=True, verbose_name='active')),
            ],
            options={
                'verbose_name_plural': 'history of capture forms',
                'db_table': 'crm_pghistory_captureform',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='ContactHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('full_name', models.CharField(max_length=200, verbose_name='name')),
                ('title', models.CharField(blank=True, max_length=120, verbose_name='job title')),
                ('locale', models.CharField(blank=True, max_length=10, verbose_name='language')),
                ('time_zone', models.CharField(blank=True, max_length=64, verbose_name='time zone')),
                ('country', models.CharField(blank=True, max_length=2, verbose_name='country')),
                ('do_not_contact', models.BooleanField(default=False, verbose_name='do not contact')),
                ('lifecycle', models.CharField(choices=[('lead', 'Lead'), ('opportunity', 'Opportunity'), ('customer', 'Customer'), ('churned', 'Churned')], default='lead', max_length=11)),
                ('deleted_at', models.DateTimeField(blank=True, null=True)),
                ('custom', models.JSONField(blank=True, default=dict, help_text='values of CustomField, by key')),
            ],
            options={
                'verbose_name_plural': 'history of contacts',
                'db_table': 'crm_pghistory_contact',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='ContactPointHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('kind', models.CharField(choices=[('email', 'E-mail'), ('phone', 'Phone'), ('url', 'Website')], max_length=5)),
                ('raw', models.CharField(max_length=320)),
                ('norm', models.CharField(max_length=320)),
                ('is_primary', models.BooleanField(default=False)),
                ('state', models.CharField(choices=[('unverified', 'Not verified'), ('ok', 'Works'), ('bounced', 'Bounced'), ('invalid', 'Invalid')], default='unverified', max_length=10)),
            ],
            options={
                'verbose_name_plural': 'history of contact points',
                'db_table': 'crm_pghistory_contactpoint',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='CustomFieldHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('target', models.CharField(choices=[('lead', 'Lead'), ('contact', 'Contact'), ('account', 'Account'), ('opportunity', 'Opportunity')], default='lead', max_length=12)),
                ('key', models.SlugField(db_index=False, max_length=60)),
                ('label', models.CharField(max_length=120)),
                ('type', models.CharField(choices=[('text', 'Text'), ('number', 'Number'), ('boolean', 'Yes or no'), ('date', 'Date'), ('choice', 'Choice'), ('url', 'Link')], default='text', max_length=8)),
                ('options', models.JSONField(blank=True, default=list, help_text='the words of a choice field')),
                ('position', models.PositiveSmallIntegerField(default=0)),
                ('is_required', models.BooleanField(default=False, help_text='asked for in forms')),
                ('is_active', models.BooleanField(default=True, help_text='off: hidden, its values are kept')),
            ],
            options={
                'verbose_name_plural': 'history of custom fields',
                'db_table': 'crm_pghistory_customfield',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='DuplicateCandidateHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('target', models.CharField(choices=[('lead', 'Leads'), ('contact', 'Contacts'), ('account', 'Accounts')], default='lead', max_length=7)),
                ('state', models.CharField(choices=[('open', 'To be decided'), ('merged', 'Merged'), ('dismissed', 'Not the same')], default='open', max_length=9)),
                ('decided_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'verbose_name_plural': 'history of duplicate candidates',
                'db_table': 'crm_pghistory_duplicatecandidate',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='EnrollmentHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('number', models.PositiveIntegerField(help_text='version of the steps that it runs')),
                ('state', models.CharField(choices=[('active', 'Active'), ('done', 'Done'), ('stopped', 'Stopped')], default='active', max_length=7)),
                ('next_step_at', models.DateTimeField(blank=True, null=True)),
                ('stopped_because', models.CharField(blank=True, max_length=120)),
            ],
            options={
                'verbose_name_plural': 'history of enrollments',
                'db_table': 'crm_pghistory_enrollment',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='ExchangeRateHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('base', models.CharField(max_length=3)),
                ('quote', models.CharField(max_length=3)),
                ('date', models.DateField()),
                ('rate', models.DecimalField(decimal_places=10, max_digits=20)),
            ],
            options={
                'verbose_name_plural': 'history of exchange rates',
                'db_table': 'crm_pghistory_exchangerate',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='FollowUpHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('channel', models.CharField(default='email', max_length=8)),
                ('purpose', models.CharField(choices=[('first_answer', 'First answer'), ('after_call', 'After a call'), ('quote_sent', 'Quote sent'), ('no_reply', 'No reply'), ('renewal', 'Renewal'), ('win_back', 'Win back'), ('other', 'Other')], default='first_answer', max_length=12)),
                ('to_address', models.CharField(blank=True, max_length=320)),
                ('subject', models.CharField(max_length=200, verbose_name='subject')),
                ('body', models.TextField(max_length=20000, verbose_name='message')),
                ('body_sha256', models.CharField(editable=False, max_length=64)),
                ('provider', models.CharField(blank=True, help_text='"scripted" marks a sample', max_length=20)),
                ('model', models.CharField(blank=True, max_length=120)),
                ('cost_usd', models.DecimalField(decimal_places=6, default=0, max_digits=12)),
                ('state', models.CharField(choices=[('generated', 'Draft ready'), ('edited', 'Edited'), ('approved', 'Approved'), ('scheduled', 'Sending'), ('sent', 'Sent'), ('rejected', 'Dismissed'), ('stale', 'Out of date'), ('expired', 'Expired')], default='generated', max_length=10)),
                ('needs_writing', models.CharField(blank=True, help_text="why the agent's text was refused; a person has to write", max_length=300)),
                ('approved_at', models.DateTimeField(blank=True, null=True)),
                ('approved_sha256', models.CharField(blank=True, editable=False, max_length=64)),
                ('reject_reason', models.CharField(blank=True, max_length=200)),
            ],
            options={
                'verbose_name_plural': 'history of follow ups',
                'db_table': 'crm_pghistory_followup',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='LeadHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('name', models.CharField(max_length=200, verbose_name='name')),
                ('company', models.CharField(blank=True, max_length=200, verbose_name='company')),
                ('title', models.CharField(blank=True, max_length=120, verbose_name='job title')),
                ('kind', models.CharField(choices=[('person', 'Person'), ('business', 'Business')], default='person', max_length=8)),
                ('mailing_address', models.TextField(blank=True, max_length=500, verbose_name='mailing address')),
                ('physical_address', models.TextField(blank=True, max_length=500, verbose_name='site address')),
                ('country', models.CharField(blank=True, max_length=2, verbose_name='country')),
                ('interest', models.CharField(blank=True, max_length=300, verbose_name='interest')),
                ('est_value', models.DecimalField(blank=True, decimal_places=2, max_digits=14, null=True, verbose_name='estimated value')),
                ('currency', models.CharField(default='EUR', max_length=3, verbose_name='currency')),
                ('status', models.CharField(choices=[('new', 'New'), ('working', 'Working'), ('nurturing', 'Nurturing'), ('converted', 'Converted'), ('disqualified', 'Disqualified')], default='new', max_length=12, verbose_name='status')),
                ('disqualify_reason', models.CharField(blank=True, max_length=200)),
                ('outcome', models.CharField(choices=[('unknown', 'Unknown'), ('won', 'Won'), ('lost', 'Lost')], default='unknown', max_length=8)),
                ('outcome_at', models.DateTimeField(blank=True, null=True)),
                ('outcome_from', models.CharField(blank=True, choices=[('action', 'Action'), ('import', 'Import')], max_length=6)),
                ('next_action_at', models.DateTimeField(blank=True, null=True)),
                ('next_action_kind', models.CharField(blank=True, choices=[('call', 'Call'), ('email', 'E-mail'), ('meeting', 'Meeting'), ('todo', 'To do'), ('review', 'Review')], max_length=8)),
                ('snoozed_until', models.DateTimeField(blank=True, null=True)),
                ('attempts', models.PositiveSmallIntegerField(default=0, help_text='outbound tries since the last answer')),
                ('max_attempts', models.PositiveSmallIntegerField(default=6)),
                ('converted_at', models.DateTimeField(blank=True, null=True)),
                ('is_ai_off', models.BooleanField(default=False, help_text='no agent reads this lead, nothing of it goes to a model', verbose_name='no AI')),
                ('deleted_at', models.DateTimeField(blank=True, null=True)),
                ('custom', models.JSONField(blank=True, default=dict, help_text='values of CustomField, by key')),
            ],
            options={
                'verbose_name_plural': 'history of leads',
                'db_table': 'crm_pghistory_lead',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='LeadSourceHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('code', models.SlugField(db_index=False, max_length=60)),
                ('name', models.CharField(max_length=120)),
                ('kind', models.CharField(choices=[('form', 'Web form'), ('email', 'E-mail'), ('api', 'API'), ('csv', 'Import'), ('phone', 'Phone'), ('manual', 'By hand')], default='manual', max_length=8)),
                ('campaign', models.CharField(blank=True, max_length=120)),
                ('monthly_cost', models.DecimalField(blank=True, decimal_places=2, max_digits=14, null=True)),
                ('currency', models.CharField(default='EUR', max_length=3)),
                ('default_country', models.CharField(blank=True, help_text='ISO code; how phone numbers without a country are read', max_length=2)),
            ],
            options={
                'verbose_name_plural': 'history of lead sources',
                'db_table': 'crm_pghistory_leadsource',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='MailAccountHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('address', models.EmailField(max_length=254)),
                ('imap_url', models.CharField(blank=True, max_length=300)),
                ('secret_name', models.CharField(blank=True, max_length=60)),
                ('is_active', models.BooleanField(default=True)),
            ],
            options={
                'verbose_name_plural': 'history of mail accounts',
                'db_table': 'crm_pghistory_mailaccount',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='NoteHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('body', models.TextField(max_length=20000, verbose_name='note')),
                ('is_private', models.BooleanField(default=False, verbose_name='private')),
            ],
            options={
                'verbose_name_plural': 'history of notes',
                'db_table': 'crm_pghistory_note',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='OpportunityHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('name', models.CharField(max_length=200, verbose_name='name')),
                ('state', models.CharField(choices=[('open', 'Open'), ('won', 'Won'), ('lost', 'Lost')], default='open', editable=False, max_length=4)),
                ('amount', models.DecimalField(blank=True, decimal_places=2, max_digits=14, null=True, verbose_name='amount')),
                ('currency', models.CharField(default='EUR', max_length=3, verbose_name='currency')),
                ('probability_override', models.PositiveSmallIntegerField(blank=True, help_text="percent; empty: the stage's", null=True)),
                ('forecast', models.CharField(choices=[('pipeline', 'Pipeline'), ('best_case', 'Best case'), ('commit', 'Commit'), ('omitted', 'Left out')], default='pipeline', max_length=9)),
                ('expected_close', models.DateField(blank=True, null=True, verbose_name='expected close')),
                ('closed_at', models.DateTimeField(blank=True, null=True)),
                ('lost_reason', models.CharField(blank=True, max_length=200)),
                ('next_action_at', models.DateTimeField(blank=True, null=True)),
                ('next_action_kind', models.CharField(blank=True, choices=[('call', 'Call'), ('email', 'E-mail'), ('meeting', 'Meeting'), ('todo', 'To do'), ('review', 'Review')], max_length=8)),
                ('deleted_at', models.DateTimeField(blank=True, null=True)),
                ('custom', models.JSONField(blank=True, default=dict, help_text='values of CustomField, by key')),
            ],
            options={
                'verbose_name_plural': 'history of opportunities',
                'db_table': 'crm_pghistory_opportunity',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='PipelineHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('name', models.CharField(max_length=120, verbose_name='name')),
                ('is_default', models.BooleanField(default=False, verbose_name='default')),
                ('is_active', models.BooleanField(default=True, verbose_name='active')),
                ('position', models.PositiveSmallIntegerField(default=0)),
            ],
            options={
                'verbose_name_plural': 'history of pipelines',
                'db_table': 'crm_pghistory_pipeline',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='RuleHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('name', models.CharField(max_length=120)),
                ('event', models.CharField(help_text='wire name, e.g. lead.created', max_length=60)),
                ('condition', models.JSONField(blank=True, default=dict)),
                ('actions', models.JSONField(default=list)),
                ('position', models.PositiveSmallIntegerField(default=0)),
                ('is_active', models.BooleanField(default=False)),
            ],
            options={
                'verbose_name_plural': 'history of rules',
                'db_table': 'crm_pghistory_rule',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='SavedViewHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('name', models.CharField(max_length=120, verbose_name='name')),
                ('target', models.CharField(choices=[('lead', 'Lead'), ('contact', 'Contact'), ('account', 'Account'), ('opportunity', 'Opportunity')], default='lead', max_length=12)),
                ('filters', models.JSONField(blank=True, default=dict)),
                ('columns', models.JSONField(blank=True, default=list)),
                ('sort', models.CharField(blank=True, max_length=60)),
                ('layout', models.CharField(choices=[('list', 'List'), ('board', 'Board')], default='list', max_length=5)),
                ('shared_with', models.CharField(choices=[('user', 'Only me'), ('team', 'My team'), ('all', 'Everybody')], default='user', max_length=4)),
                ('position', models.PositiveSmallIntegerField(default=0)),
            ],
            options={
                'verbose_name_plural': 'history of saved views',
                'db_table': 'crm_pghistory_savedview',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='SequenceHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('name', models.CharField(max_length=120)),
                ('is_active', models.BooleanField(default=False)),
                ('send_window', models.JSONField(blank=True, default=dict, help_text='{"days": ["mon", ...], "from": "09:00", "to": "17:00"}')),
                ('stop_on', models.JSONField(blank=True, default=list)),
            ],
            options={
                'verbose_name_plural': 'history of sequences',
                'db_table': 'crm_pghistory_sequence',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='StageHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('name', models.CharField(max_length=120, verbose_name='name')),
                ('position', models.PositiveSmallIntegerField()),
                ('kind', models.CharField(choices=[('open', 'Open'), ('won', 'Won'), ('lost', 'Lost')], default='open', max_length=4)),
                ('probability', models.PositiveSmallIntegerField(default=0, help_text='percent')),
                ('rot_days', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('wip_limit', models.PositiveSmallIntegerField(blank=True, help_text='cards that one person may have here', null=True)),
                ('exit_rules', models.JSONField(blank=True, default=list, help_text='["amount", "expected_close"]')),
                ('is_active', models.BooleanField(default=True)),
            ],
            options={
                'verbose_name_plural': 'history of stages',
                'db_table': 'crm_pghistory_stage',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='StepHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('number', models.PositiveIntegerField(help_text="version of the sequence's steps")),
                ('position', models.PositiveSmallIntegerField()),
                ('kind', models.CharField(choices=[('mail', 'Mail'), ('task', 'Task')], max_length=4)),
                ('wait_hours', models.PositiveIntegerField(default=0)),
                ('task_kind', models.CharField(blank=True, choices=[('call', 'Call'), ('email', 'E-mail'), ('meeting', 'Meeting'), ('todo', 'To do'), ('review', 'Review')], max_length=8)),
                ('task_title', models.CharField(blank=True, max_length=200)),
            ],
            options={
                'verbose_name_plural': 'history of steps',
                'db_table': 'crm_pghistory_step',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='TagHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('name', models.CharField(max_length=60, verbose_name='name')),
                ('colour', models.CharField(choices=[('grey', 'Grey'), ('green', 'Green'), ('blue', 'Blue'), ('amber', 'Amber'), ('red', 'Red')], default='grey', max_length=5)),
            ],
            options={
                'verbose_name_plural': 'history of tags',
                'db_table': 'crm_pghistory_tag',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='TaskHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('title', models.CharField(max_length=200, verbose_name='title')),
                ('notes', models.TextField(blank=True, max_length=5000, verbose_name='notes')),
                ('kind', models.CharField(choices=[('call', 'Call'), ('email', 'E-mail'), ('meeting', 'Meeting'), ('todo', 'To do'), ('review', 'Review')], default='todo', max_length=8)),
                ('due_at', models.DateTimeField(blank=True, null=True, verbose_name='due')),
                ('remind_at', models.DateTimeField(blank=True, null=True, verbose_name='remind at')),
                ('priority', models.PositiveSmallIntegerField(choices=[(1, 'High'), (2, 'Normal'), (3, 'Low')], default=2)),
                ('state', models.CharField(choices=[('open', 'Open'), ('done', 'Done'), ('cancelled', 'Cancelled')], default='open', max_length=9)),
                ('done_at', models.DateTimeField(blank=True, null=True)),
                ('outcome', models.CharField(blank=True, max_length=300, verbose_name='outcome')),
                ('origin', models.CharField(choices=[('human', 'By hand'), ('rule', 'Rule'), ('sequence', 'Sequence'), ('ai', 'Agent')], default='human', max_length=8)),
                ('recurrence', models.CharField(blank=True, choices=[('', 'Once'), ('daily', 'Every day'), ('weekly', 'Every week'), ('monthly', 'Every month'), ('yearly', 'Every year')], default='', max_length=7)),
                ('recurs_every', models.PositiveSmallIntegerField(default=1, help_text='every so many days, weeks ...')),
                ('recurs_until', models.DateField(blank=True, null=True)),
            ],
            options={
                'verbose_name_plural': 'history of tasks',
                'db_table': 'crm_pghistory_task',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='TeamHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('name', models.CharField(max_length=120)),
            ],
            options={
                'verbose_name_plural': 'history of teams',
                'db_table': 'crm_pghistory_team',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='TeamMemberHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('role', models.CharField(choices=[('lead', 'Team lead'), ('member', 'Member')], default='member', max_length=8)),
            ],
            options={
                'verbose_name_plural': 'history of team members',
                'db_table': 'crm_pghistory_teammember',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='TemplateHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('key', models.SlugField(db_index=False, max_length=60)),
                ('number', models.PositiveIntegerField(default=1)),
                ('name', models.CharField(max_length=120)),
                ('subject', models.CharField(max_length=200)),
                ('body', models.TextField(max_length=20000)),
                ('locale', models.CharField(default='en', max_length=10)),
                ('activated_at', models.DateTimeField(blank=True, null=True)),
                ('retired_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'verbose_name_plural': 'history of templates',
                'db_table': 'crm_pghistory_template',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='UserHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('email', models.EmailField(max_length=254, verbose_name='e-mail')),
                ('name', models.CharField(max_length=120, verbose_name='name')),
                ('role', models.CharField(choices=[('admin', 'Admin'), ('manager', 'Manager'), ('rep', 'Sales rep'), ('read_only', 'Read only')], default='rep', max_length=12, verbose_name='role')),
                ('is_active', models.BooleanField(default=True, verbose_name='active')),
                ('is_superuser', models.BooleanField(default=False, editable=False)),
                ('time_zone', models.CharField(default='UTC', max_length=64, verbose_name='time zone')),
                ('locale', models.CharField(default='en', max_length=10, verbose_name='language')),
                ('signature', models.TextField(blank=True, max_length=1000, verbose_name='mail signature')),
                ('working_hours', models.JSONField(blank=True, default=dict, help_text='{"mon": ["09:00", "17:00"], ...}')),
                ('capacity', models.PositiveIntegerField(default=50, help_text='open leads this person can work at a time')),
                ('is_accepting', models.BooleanField(default=True, verbose_name='accepts new leads')),
            ],
            options={
                'verbose_name_plural': 'history of users',
                'db_table': 'crm_pghistory_user',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='WebhookEndpointHistory',
            fields=[
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('url', models.URLField(max_length=500)),
                ('events', models.JSONField(default=list)),
                ('is_active', models.BooleanField(default=True)),
            ],
            options={
                'verbose_name_plural': 'history of webhook endpoints',
                'db_table': 'crm_pghistory_webhookendpoint',
                'abstract': False,
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='account',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."address" IS DISTINCT FROM (NEW."address") OR OLD."country" IS DISTINCT FROM (NEW."country") OR OLD."custom" IS DISTINCT FROM (NEW."custom") OR OLD."deleted_at" IS DISTINCT FROM (NEW."deleted_at") OR OLD."domain" IS DISTINCT FROM (NEW."domain") OR OLD."industry" IS DISTINCT FROM (NEW."industry") OR OLD."merged_into_id" IS DISTINCT FROM (NEW."merged_into_id") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."owner_id" IS DISTINCT FROM (NEW."owner_id") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."size_band" IS DISTINCT FROM (NEW."size_band") OR OLD."team_id" IS DISTINCT FROM (NEW."team_id") OR OLD."website" IS DISTINCT FROM (NEW."website"))', func='INSERT INTO "crm_pghistory_account" ("address", "country", "custom", "deleted_at", "domain", "industry", "merged_into_id", "name", "owner_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "size_band", "team_id", "website") VALUES (OLD."address", OLD."country", OLD."custom", OLD."deleted_at", OLD."domain", OLD."industry", OLD."merged_into_id", OLD."name", OLD."owner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id", OLD."size_band", OLD."team_id", OLD."website"); RETURN NULL;', hash='1264fe5327d91f63d37ecb1e313feafc3016e43b', operation='UPDATE', pgid='pgtrigger_update_update_01161', table='crm_account', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='account',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_account" ("address", "country", "custom", "deleted_at", "domain", "industry", "merged_into_id", "name", "owner_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "size_band", "team_id", "website") VALUES (OLD."address", OLD."country", OLD."custom", OLD."deleted_at", OLD."domain", OLD."industry", OLD."merged_into_id", OLD."name", OLD."owner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id", OLD."size_band", OLD."team_id", OLD."website"); RETURN NULL;', hash='b479ddc84b5fd4498b0e97d7d7833b9bda9b98b1', operation='DELETE', pgid='pgtrigger_delete_delete_89bba', table='crm_account', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='assignmentrule',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."condition" IS DISTINCT FROM (NEW."condition") OR OLD."is_active" IS DISTINCT FROM (NEW."is_active") OR OLD."method" IS DISTINCT FROM (NEW."method") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."position" IS DISTINCT FROM (NEW."position") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."team_id" IS DISTINCT FROM (NEW."team_id"))', func='INSERT INTO "crm_pghistory_assignmentrule" ("condition", "is_active", "method", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "public_id", "team_id") VALUES (OLD."condition", OLD."is_active", OLD."method", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."position", OLD."public_id", OLD."team_id"); RETURN NULL;', hash='90d5247c410c8787459494e8d6fa7a6e29cb601c', operation='UPDATE', pgid='pgtrigger_update_update_f1c56', table='crm_assignmentrule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='assignmentrule',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_assignmentrule" ("condition", "is_active", "method", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "public_id", "team_id") VALUES (OLD."condition", OLD."is_active", OLD."method", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."position", OLD."public_id", OLD."team_id"); RETURN NULL;', hash='d2a518690cfcd85e1889766cabf7fe79d32492e9', operation='DELETE', pgid='pgtrigger_delete_delete_777bf', table='crm_assignmentrule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='calllog',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."author_id" IS DISTINCT FROM (NEW."author_id") OR OLD."body" IS DISTINCT FROM (NEW."body") OR OLD."contact_id" IS DISTINCT FROM (NEW."contact_id") OR OLD."direction" IS DISTINCT FROM (NEW."direction") OR OLD."disposition" IS DISTINCT FROM (NEW."disposition") OR OLD."event_id" IS DISTINCT FROM (NEW."event_id") OR OLD."lead_id" IS DISTINCT FROM (NEW."lead_id") OR OLD."occurred_at" IS DISTINCT FROM (NEW."occurred_at") OR OLD."opportunity_id" IS DISTINCT FROM (NEW."opportunity_id") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."seconds" IS DISTINCT FROM (NEW."seconds"))', func='INSERT INTO "crm_pghistory_calllog" ("author_id", "body", "contact_id", "direction", "disposition", "event_id", "lead_id", "occurred_at", "opportunity_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "seconds") VALUES (OLD."author_id", OLD."body", OLD."contact_id", OLD."direction", OLD."disposition", OLD."event_id", OLD."lead_id", OLD."occurred_at", OLD."opportunity_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id", OLD."seconds"); RETURN NULL;', hash='1155637eb1522d7eee265de16d49815365139a3c', operation='UPDATE', pgid='pgtrigger_update_update_f048f', table='crm_calllog', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='calllog',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_calllog" ("author_id", "body", "contact_id", "direction", "disposition", "event_id", "lead_id", "occurred_at", "opportunity_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "seconds") VALUES (OLD."author_id", OLD."body", OLD."contact_id", OLD."direction", OLD."disposition", OLD."event_id", OLD."lead_id", OLD."occurred_at", OLD."opportunity_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id", OLD."seconds"); RETURN NULL;', hash='9637282dd93140433d8987885191012e4a0dd278', operation='DELETE', pgid='pgtrigger_delete_delete_14ee9', table='crm_calllog', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='captureform',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."allowed_origins" IS DISTINCT FROM (NEW."allowed_origins") OR OLD."button" IS DISTINCT FROM (NEW."button") OR OLD."consent_text" IS DISTINCT FROM (NEW."consent_text") OR OLD."consent_version" IS DISTINCT FROM (NEW."consent_version") OR OLD."fields" IS DISTINCT FROM (NEW."fields") OR OLD."intro" IS DISTINCT FROM (NEW."intro") OR OLD."is_active" IS DISTINCT FROM (NEW."is_active") OR OLD."locale" IS DISTINCT FROM (NEW."locale") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."opt_in" IS DISTINCT FROM (NEW."opt_in") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."slug" IS DISTINCT FROM (NEW."slug") OR OLD."source_id" IS DISTINCT FROM (NEW."source_id") OR OLD."thanks" IS DISTINCT FROM (NEW."thanks"))', func='INSERT INTO "crm_pghistory_captureform" ("allowed_origins", "button", "consent_text", "consent_version", "fields", "intro", "is_active", "locale", "name", "opt_in", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "slug", "source_id", "thanks") VALUES (OLD."allowed_origins", OLD."button", OLD."consent_text", OLD."consent_version", OLD."fields", OLD."intro", OLD."is_active", OLD."locale", OLD."name", OLD."opt_in", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id", OLD."slug", OLD."source_id", OLD."thanks"); RETURN NULL;', hash='373141c7e92f5282591f7448350ab7198dd4b491', operation='UPDATE', pgid='pgtrigger_update_update_8b9d6', table='crm_captureform', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='captureform',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_captureform" ("allowed_origins", "button", "consent_text", "consent_version", "fields", "intro", "is_active", "locale", "name", "opt_in", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "slug", "source_id", "thanks") VALUES (OLD."allowed_origins", OLD."button", OLD."consent_text", OLD."consent_version", OLD."fields", OLD."intro", OLD."is_active", OLD."locale", OLD."name", OLD."opt_in", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id", OLD."slug", OLD."source_id", OLD."thanks"); RETURN NULL;', hash='7ecf3b04335f8b1117353303bdc4c69a34719d1e', operation='DELETE', pgid='pgtrigger_delete_delete_845f5', table='crm_captureform', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='contact',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."account_id" IS DISTINCT FROM (NEW."account_id") OR OLD."country" IS DISTINCT FROM (NEW."country") OR OLD."custom" IS DISTINCT FROM (NEW."custom") OR OLD."deleted_at" IS DISTINCT FROM (NEW."deleted_at") OR OLD."do_not_contact" IS DISTINCT FROM (NEW."do_not_contact") OR OLD."full_name" IS DISTINCT FROM (NEW."full_name") OR OLD."lifecycle" IS DISTINCT FROM (NEW."lifecycle") OR OLD."locale" IS DISTINCT FROM (NEW."locale") OR OLD."merged_into_id" IS DISTINCT FROM (NEW."merged_into_id") OR OLD."owner_id" IS DISTINCT FROM (NEW."owner_id") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."team_id" IS DISTINCT FROM (NEW."team_id") OR OLD."time_zone" IS DISTINCT FROM (NEW."time_zone") OR OLD."title" IS DISTINCT FROM (NEW."title"))', func='INSERT INTO "crm_pghistory_contact" ("account_id", "country", "custom", "deleted_at", "do_not_contact", "full_name", "lifecycle", "locale", "merged_into_id", "owner_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "team_id", "time_zone", "title") VALUES (OLD."account_id", OLD."country", OLD."custom", OLD."deleted_at", OLD."do_not_contact", OLD."full_name", OLD."lifecycle", OLD."locale", OLD."merged_into_id", OLD."owner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id", OLD."team_id", OLD."time_zone", OLD."title"); RETURN NULL;', hash='11c701e69cac1f29da8635fdc312a37685b927e4', operation='UPDATE', pgid='pgtrigger_update_update_eb23d', table='crm_contact', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='contact',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_contact" ("account_id", "country", "custom", "deleted_at", "do_not_contact", "full_name", "lifecycle", "locale", "merged_into_id", "owner_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "team_id", "time_zone", "title") VALUES (OLD."account_id", OLD."country", OLD."custom", OLD."deleted_at", OLD."do_not_contact", OLD."full_name", OLD."lifecycle", OLD."locale", OLD."merged_into_id", OLD."owner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id", OLD."team_id", OLD."time_zone", OLD."title"); RETURN NULL;', hash='168dccd49b090b9bebe5f82b74f7894af06de165', operation='DELETE', pgid='pgtrigger_delete_delete_c9be7', table='crm_contact', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='contactpoint',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."contact_id" IS DISTINCT FROM (NEW."contact_id") OR OLD."is_primary" IS DISTINCT FROM (NEW."is_primary") OR OLD."kind" IS DISTINCT FROM (NEW."kind") OR OLD."lead_id" IS DISTINCT FROM (NEW."lead_id") OR OLD."norm" IS DISTINCT FROM (NEW."norm") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."raw" IS DISTINCT FROM (NEW."raw") OR OLD."state" IS DISTINCT FROM (NEW."state"))', func='INSERT INTO "crm_pghistory_contactpoint" ("contact_id", "is_primary", "kind", "lead_id", "norm", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "raw", "state") VALUES (OLD."contact_id", OLD."is_primary", OLD."kind", OLD."lead_id", OLD."norm", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id", OLD."raw", OLD."state"); RETURN NULL;', hash='b6756bcf58a168fb3189ddc41920db38b62a8825', operation='UPDATE', pgid='pgtrigger_update_update_6383a', table='crm_contactpoint', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='contactpoint',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_contactpoint" ("contact_id", "is_primary", "kind", "lead_id", "norm", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "raw", "state") VALUES (OLD."contact_id", OLD."is_primary", OLD."kind", OLD."lead_id", OLD."norm", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id", OLD."raw", OLD."state"); RETURN NULL;', hash='dbb05a8bc096759a90a9b763d5c2bd95cd99af37', operation='DELETE', pgid='pgtrigger_delete_delete_156e5', table='crm_contactpoint', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='customfield',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."is_active" IS DISTINCT FROM (NEW."is_active") OR OLD."is_required" IS DISTINCT FROM (NEW."is_required") OR OLD."key" IS DISTINCT FROM (NEW."key") OR OLD."label" IS DISTINCT FROM (NEW."label") OR OLD."options" IS DISTINCT FROM (NEW."options") OR OLD."position" IS DISTINCT FROM (NEW."position") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."target" IS DISTINCT FROM (NEW."target") OR OLD."type" IS DISTINCT FROM (NEW."type"))', func='INSERT INTO "crm_pghistory_customfield" ("is_active", "is_required", "key", "label", "options", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "public_id", "target", "type") VALUES (OLD."is_active", OLD."is_required", OLD."key", OLD."label", OLD."options", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."position", OLD."public_id", OLD."target", OLD."type"); RETURN NULL;', hash='9da6665a6326f9026d4eb703c79c17b973982d66', operation='UPDATE', pgid='pgtrigger_update_update_21777', table='crm_customfield', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='customfield',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_customfield" ("is_active", "is_required", "key", "label", "options", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "public_id", "target", "type") VALUES (OLD."is_active", OLD."is_required", OLD."key", OLD."label", OLD."options", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."position", OLD."public_id", OLD."target", OLD."type"); RETURN NULL;', hash='91f0e19317e8f1daaaa5acb926fe513bb8b36bf6', operation='DELETE', pgid='pgtrigger_delete_delete_1dce2', table='crm_customfield', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='duplicatecandidate',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."account_a_id" IS DISTINCT FROM (NEW."account_a_id") OR OLD."account_b_id" IS DISTINCT FROM (NEW."account_b_id") OR OLD."contact_a_id" IS DISTINCT FROM (NEW."contact_a_id") OR OLD."contact_b_id" IS DISTINCT FROM (NEW."contact_b_id") OR OLD."decided_at" IS DISTINCT FROM (NEW."decided_at") OR OLD."decided_by_id" IS DISTINCT FROM (NEW."decided_by_id") OR OLD."lead_a_id" IS DISTINCT FROM (NEW."lead_a_id") OR OLD."lead_b_id" IS DISTINCT FROM (NEW."lead_b_id") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."state" IS DISTINCT FROM (NEW."state") OR OLD."target" IS DISTINCT FROM (NEW."target"))', func='INSERT INTO "crm_pghistory_duplicatecandidate" ("account_a_id", "account_b_id", "contact_a_id", "contact_b_id", "decided_at", "decided_by_id", "lead_a_id", "lead_b_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "state", "target") VALUES (OLD."account_a_id", OLD."account_b_id", OLD."contact_a_id", OLD."contact_b_id", OLD."decided_at", OLD."decided_by_id", OLD."lead_a_id", OLD."lead_b_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id", OLD."state", OLD."target"); RETURN NULL;', hash='cc2ac028e13aecac83dd06f4d5c7e401b5cf42d7', operation='UPDATE', pgid='pgtrigger_update_update_95abf', table='crm_duplicatecandidate', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='duplicatecandidate',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_duplicatecandidate" ("account_a_id", "account_b_id", "contact_a_id", "contact_b_id", "decided_at", "decided_by_id", "lead_a_id", "lead_b_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "state", "target") VALUES (OLD."account_a_id", OLD."account_b_id", OLD."contact_a_id", OLD."contact_b_id", OLD."decided_at", OLD."decided_by_id", OLD."lead_a_id", OLD."lead_b_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id", OLD."state", OLD."target"); RETURN NULL;', hash='b8bf4444e3247411ddfdc471a8963200cbab89b1', operation='DELETE', pgid='pgtrigger_delete_delete_90796', table='crm_duplicatecandidate', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='enrollment',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."by_id" IS DISTINCT FROM (NEW."by_id") OR OLD."contact_id" IS DISTINCT FROM (NEW."contact_id") OR OLD."lead_id" IS DISTINCT FROM (NEW."lead_id") OR OLD."next_step_at" IS DISTINCT FROM (NEW."next_step_at") OR OLD."number" IS DISTINCT FROM (NEW."number") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."sequence_id" IS DISTINCT FROM (NEW."sequence_id") OR OLD."state" IS DISTINCT FROM (NEW."state") OR OLD."stopped_because" IS DISTINCT FROM (NEW."stopped_because"))', func='INSERT INTO "crm_pghistory_enrollment" ("by_id", "contact_id", "lead_id", "next_step_at", "number", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "sequence_id", "state", "stopped_because") VALUES (OLD."by_id", OLD."contact_id", OLD."lead_id", OLD."next_step_at", OLD."number", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id", OLD."sequence_id", OLD."state", OLD."stopped_because"); RETURN NULL;', hash='d1ad36af64ba2077e618d3379323d7f852c2f519', operation='UPDATE', pgid='pgtrigger_update_update_39f20', table='crm_enrollment', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='enrollment',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_enrollment" ("by_id", "contact_id", "lead_id", "next_step_at", "number", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "sequence_id", "state", "stopped_because") VALUES (OLD."by_id", OLD."contact_id", OLD."lead_id", OLD."next_step_at", OLD."number", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id", OLD."sequence_id", OLD."state", OLD."stopped_because"); RETURN NULL;', hash='f7a322800ec9f543e6fcd950657362ff2f703afc', operation='DELETE', pgid='pgtrigger_delete_delete_7fc36', table='crm_enrollment', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='exchangerate',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."base" IS DISTINCT FROM (NEW."base") OR OLD."date" IS DISTINCT FROM (NEW."date") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."quote" IS DISTINCT FROM (NEW."quote") OR OLD."rate" IS DISTINCT FROM (NEW."rate"))', func='INSERT INTO "crm_pghistory_exchangerate" ("base", "date", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "quote", "rate") VALUES (OLD."base", OLD."date", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id", OLD."quote", OLD."rate"); RETURN NULL;', hash='0d86b0e658e27107b933f2ca80bb49275a576668', operation='UPDATE', pgid='pgtrigger_update_update_90b8c', table='crm_exchangerate', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='exchangerate',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_exchangerate" ("base", "date", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "quote", "rate") VALUES (OLD."base", OLD."date", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id", OLD."quote", OLD."rate"); RETURN NULL;', hash='3163327d5b387a86d2f72ad382e5993f2eb20bbc', operation='DELETE', pgid='pgtrigger_delete_delete_4cf39', table='crm_exchangerate', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='followup',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."agent_task_id" IS DISTINCT FROM (NEW."agent_task_id") OR OLD."approved_at" IS DISTINCT FROM (NEW."approved_at") OR OLD."approved_by_id" IS DISTINCT FROM (NEW."approved_by_id") OR OLD."approved_sha256" IS DISTINCT FROM (NEW."approved_sha256") OR OLD."body" IS DISTINCT FROM (NEW."body") OR OLD."body_sha256" IS DISTINCT FROM (NEW."body_sha256") OR OLD."channel" IS DISTINCT FROM (NEW."channel") OR OLD."context_event_id" IS DISTINCT FROM (NEW."context_event_id") OR OLD."cost_usd" IS DISTINCT FROM (NEW."cost_usd") OR OLD."created_by_id" IS DISTINCT FROM (NEW."created_by_id") OR OLD."lead_id" IS DISTINCT FROM (NEW."lead_id") OR OLD."model" IS DISTINCT FROM (NEW."model") OR OLD."needs_writing" IS DISTINCT FROM (NEW."needs_writing") OR OLD."provider" IS DISTINCT FROM (NEW."provider") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."purpose" IS DISTINCT FROM (NEW."purpose") OR OLD."reject_reason" IS DISTINCT FROM (NEW."reject_reason") OR OLD."state" IS DISTINCT FROM (NEW."state") OR OLD."subject" IS DISTINCT FROM (NEW."subject") OR OLD."to_address" IS DISTINCT FROM (NEW."to_address"))', func='INSERT INTO "crm_pghistory_followup" ("agent_task_id", "approved_at", "approved_by_id", "approved_sha256", "body", "body_sha256", "channel", "context_event_id", "cost_usd", "created_by_id", "lead_id", "model", "needs_writing", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "provider", "public_id", "purpose", "reject_reason", "state", "subject", "to_address") VALUES (OLD."agent_task_id", OLD."approved_at", OLD."approved_by_id", OLD."approved_sha256", OLD."body", OLD."body_sha256", OLD."channel", OLD."context_event_id", OLD."cost_usd", OLD."created_by_id", OLD."lead_id", OLD."model", OLD."needs_writing", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."provider", OLD."public_id", OLD."purpose", OLD."reject_reason", OLD."state", OLD."subject", OLD."to_address"); RETURN NULL;', hash='008b871b11b8a6e72a89129afd08414133a0ee79', operation='UPDATE', pgid='pgtrigger_update_update_5c008', table='crm_followup', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='followup',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_followup" ("agent_task_id", "approved_at", "approved_by_id", "approved_sha256", "body", "body_sha256", "channel", "context_event_id", "cost_usd", "created_by_id", "lead_id", "model", "needs_writing", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "provider", "public_id", "purpose", "reject_reason", "state", "subject", "to_address") VALUES (OLD."agent_task_id", OLD."approved_at", OLD."approved_by_id", OLD."approved_sha256", OLD."body", OLD."body_sha256", OLD."channel", OLD."context_event_id", OLD."cost_usd", OLD."created_by_id", OLD."lead_id", OLD."model", OLD."needs_writing", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."provider", OLD."public_id", OLD."purpose", OLD."reject_reason", OLD."state", OLD."subject", OLD."to_address"); RETURN NULL;', hash='b418fde13b7f4da858ae2ae91c5b7cc4159ca188', operation='DELETE', pgid='pgtrigger_delete_delete_7806c', table='crm_followup', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='lead',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."attempts" IS DISTINCT FROM (NEW."attempts") OR OLD."company" IS DISTINCT FROM (NEW."company") OR OLD."contact_id" IS DISTINCT FROM (NEW."contact_id") OR OLD."converted_account_id" IS DISTINCT FROM (NEW."converted_account_id") OR OLD."converted_at" IS DISTINCT FROM (NEW."converted_at") OR OLD."converted_by_id" IS DISTINCT FROM (NEW."converted_by_id") OR OLD."converted_opportunity_id" IS DISTINCT FROM (NEW."converted_opportunity_id") OR OLD."country" IS DISTINCT FROM (NEW."country") OR OLD."currency" IS DISTINCT FROM (NEW."currency") OR OLD."custom" IS DISTINCT FROM (NEW."custom") OR OLD."deleted_at" IS DISTINCT FROM (NEW."deleted_at") OR OLD."disqualify_reason" IS DISTINCT FROM (NEW."disqualify_reason") OR OLD."est_value" IS DISTINCT FROM (NEW."est_value") OR OLD."interest" IS DISTINCT FROM (NEW."interest") OR OLD."is_ai_off" IS DISTINCT FROM (NEW."is_ai_off") OR OLD."kind" IS DISTINCT FROM (NEW."kind") OR OLD."mailing_address" IS DISTINCT FROM (NEW."mailing_address") OR OLD."max_attempts" IS DISTINCT FROM (NEW."max_attempts") OR OLD."merged_into_id" IS DISTINCT FROM (NEW."merged_into_id") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."next_action_at" IS DISTINCT FROM (NEW."next_action_at") OR OLD."next_action_kind" IS DISTINCT FROM (NEW."next_action_kind") OR OLD."outcome" IS DISTINCT FROM (NEW."outcome") OR OLD."outcome_at" IS DISTINCT FROM (NEW."outcome_at") OR OLD."outcome_from" IS DISTINCT FROM (NEW."outcome_from") OR OLD."owner_id" IS DISTINCT FROM (NEW."owner_id") OR OLD."physical_address" IS DISTINCT FROM (NEW."physical_address") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."snoozed_until" IS DISTINCT FROM (NEW."snoozed_until") OR OLD."source_id" IS DISTINCT FROM (NEW."source_id") OR OLD."status" IS DISTINCT FROM (NEW."status") OR OLD."team_id" IS DISTINCT FROM (NEW."team_id") OR OLD."title" IS DISTINCT FROM (NEW."title"))', func='INSERT INTO "crm_pghistory_lead" ("attempts", "company", "contact_id", "converted_account_id", "converted_at", "converted_by_id", "converted_opportunity_id", "country", "currency", "custom", "deleted_at", "disqualify_reason", "est_value", "interest", "is_ai_off", "kind", "mailing_address", "max_attempts", "merged_into_id", "name", "next_action_at", "next_action_kind", "outcome", "outcome_at", "outcome_from", "owner_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "physical_address", "public_id", "snoozed_until", "source_id", "status", "team_id", "title") VALUES (OLD."attempts", OLD."company", OLD."contact_id", OLD."converted_account_id", OLD."converted_at", OLD."converted_by_id", OLD."converted_opportunity_id", OLD."country", OLD."currency", OLD."custom", OLD."deleted_at", OLD."disqualify_reason", OLD."est_value", OLD."interest", OLD."is_ai_off", OLD."kind", OLD."mailing_address", OLD."max_attempts", OLD."merged_into_id", OLD."name", OLD."next_action_at", OLD."next_action_kind", OLD."outcome", OLD."outcome_at", OLD."outcome_from", OLD."owner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."physical_address", OLD."public_id", OLD."snoozed_until", OLD."source_id", OLD."status", OLD."team_id", OLD."title"); RETURN NULL;', hash='0f40df22948dd10e5fa1800c95692ef862498172', operation='UPDATE', pgid='pgtrigger_update_update_9bca5', table='crm_lead', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='lead',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_lead" ("attempts", "company", "contact_id", "converted_account_id", "converted_at", "converted_by_id", "converted_opportunity_id", "country", "currency", "custom", "deleted_at", "disqualify_reason", "est_value", "interest", "is_ai_off", "kind", "mailing_address", "max_attempts", "merged_into_id", "name", "next_action_at", "next_action_kind", "outcome", "outcome_at", "outcome_from", "owner_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "physical_address", "public_id", "snoozed_until", "source_id", "status", "team_id", "title") VALUES (OLD."attempts", OLD."company", OLD."contact_id", OLD."converted_account_id", OLD."converted_at", OLD."converted_by_id", OLD."converted_opportunity_id", OLD."country", OLD."currency", OLD."custom", OLD."deleted_at", OLD."disqualify_reason", OLD."est_value", OLD."interest", OLD."is_ai_off", OLD."kind", OLD."mailing_address", OLD."max_attempts", OLD."merged_into_id", OLD."name", OLD."next_action_at", OLD."next_action_kind", OLD."outcome", OLD."outcome_at", OLD."outcome_from", OLD."owner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."physical_address", OLD."public_id", OLD."snoozed_until", OLD."source_id", OLD."status", OLD."team_id", OLD."title"); RETURN NULL;', hash='6b54bba8c515dacce612b15e6b6c76c597801a5b', operation='DELETE', pgid='pgtrigger_delete_delete_04a61', table='crm_lead', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='leadsource',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."campaign" IS DISTINCT FROM (NEW."campaign") OR OLD."code" IS DISTINCT FROM (NEW."code") OR OLD."currency" IS DISTINCT FROM (NEW."currency") OR OLD."default_country" IS DISTINCT FROM (NEW."default_country") OR OLD."default_pipeline_id" IS DISTINCT FROM (NEW."default_pipeline_id") OR OLD."default_stage_id" IS DISTINCT FROM (NEW."default_stage_id") OR OLD."default_team_id" IS DISTINCT FROM (NEW."default_team_id") OR OLD."kind" IS DISTINCT FROM (NEW."kind") OR OLD."monthly_cost" IS DISTINCT FROM (NEW."monthly_cost") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id"))', func='INSERT INTO "crm_pghistory_leadsource" ("campaign", "code", "currency", "default_country", "default_pipeline_id", "default_stage_id", "default_team_id", "kind", "monthly_cost", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id") VALUES (OLD."campaign", OLD."code", OLD."currency", OLD."default_country", OLD."default_pipeline_id", OLD."default_stage_id", OLD."default_team_id", OLD."kind", OLD."monthly_cost", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id"); RETURN NULL;', hash='c1183ff9bd8ff0b31c918fd5c1b3f10254c734f0', operation='UPDATE', pgid='pgtrigger_update_update_fa8e8', table='crm_leadsource', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='leadsource',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_leadsource" ("campaign", "code", "currency", "default_country", "default_pipeline_id", "default_stage_id", "default_team_id", "kind", "monthly_cost", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id") VALUES (OLD."campaign", OLD."code", OLD."currency", OLD."default_country", OLD."default_pipeline_id", OLD."default_stage_id", OLD."default_team_id", OLD."kind", OLD."monthly_cost", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id"); RETURN NULL;', hash='974203fb605ff6c584cd8ad052fca9dd49f23fc7', operation='DELETE', pgid='pgtrigger_delete_delete_583ce', table='crm_leadsource', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='mailaccount',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."address" IS DISTINCT FROM (NEW."address") OR OLD."imap_url" IS DISTINCT FROM (NEW."imap_url") OR OLD."is_active" IS DISTINCT FROM (NEW."is_active") OR OLD."owner_id" IS DISTINCT FROM (NEW."owner_id") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."secret_name" IS DISTINCT FROM (NEW."secret_name"))', func='INSERT INTO "crm_pghistory_mailaccount" ("address", "imap_url", "is_active", "owner_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "secret_name") VALUES (OLD."address", OLD."imap_url", OLD."is_active", OLD."owner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id", OLD."secret_name"); RETURN NULL;', hash='48bed0d9e72e5f1e6a008e75e7b1daaf89488bb4', operation='UPDATE', pgid='pgtrigger_update_update_cd184', table='crm_mailaccount', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='mailaccount',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_mailaccount" ("address", "imap_url", "is_active", "owner_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "secret_name") VALUES (OLD."address", OLD."imap_url", OLD."is_active", OLD."owner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id", OLD."secret_name"); RETURN NULL;', hash='bf03d9bddbb28671ce03f572e85d03f7685a79b4', operation='DELETE', pgid='pgtrigger_delete_delete_45373', table='crm_mailaccount', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='note',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."account_id" IS DISTINCT FROM (NEW."account_id") OR OLD."author_id" IS DISTINCT FROM (NEW."author_id") OR OLD."body" IS DISTINCT FROM (NEW."body") OR OLD."contact_id" IS DISTINCT FROM (NEW."contact_id") OR OLD."event_id" IS DISTINCT FROM (NEW."event_id") OR OLD."is_private" IS DISTINCT FROM (NEW."is_private") OR OLD."lead_id" IS DISTINCT FROM (NEW."lead_id") OR OLD."opportunity_id" IS DISTINCT FROM (NEW."opportunity_id") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id"))', func='INSERT INTO "crm_pghistory_note" ("account_id", "author_id", "body", "contact_id", "event_id", "is_private", "lead_id", "opportunity_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id") VALUES (OLD."account_id", OLD."author_id", OLD."body", OLD."contact_id", OLD."event_id", OLD."is_private", OLD."lead_id", OLD."opportunity_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id"); RETURN NULL;', hash='e8fb7184c8ebcc207300c920257bf6daf78256bc', operation='UPDATE', pgid='pgtrigger_update_update_0fea4', table='crm_note', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='note',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_note" ("account_id", "author_id", "body", "contact_id", "event_id", "is_private", "lead_id", "opportunity_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id") VALUES (OLD."account_id", OLD."author_id", OLD."body", OLD."contact_id", OLD."event_id", OLD."is_private", OLD."lead_id", OLD."opportunity_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id"); RETURN NULL;', hash='4f9f755f4d3055ae049ed56ce223a33b729eba6a', operation='DELETE', pgid='pgtrigger_delete_delete_188d5', table='crm_note', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='opportunity',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."account_id" IS DISTINCT FROM (NEW."account_id") OR OLD."amount" IS DISTINCT FROM (NEW."amount") OR OLD."closed_at" IS DISTINCT FROM (NEW."closed_at") OR OLD."currency" IS DISTINCT FROM (NEW."currency") OR OLD."custom" IS DISTINCT FROM (NEW."custom") OR OLD."deleted_at" IS DISTINCT FROM (NEW."deleted_at") OR OLD."expected_close" IS DISTINCT FROM (NEW."expected_close") OR OLD."forecast" IS DISTINCT FROM (NEW."forecast") OR OLD."lead_id" IS DISTINCT FROM (NEW."lead_id") OR OLD."lost_reason" IS DISTINCT FROM (NEW."lost_reason") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."next_action_at" IS DISTINCT FROM (NEW."next_action_at") OR OLD."next_action_kind" IS DISTINCT FROM (NEW."next_action_kind") OR OLD."owner_id" IS DISTINCT FROM (NEW."owner_id") OR OLD."primary_contact_id" IS DISTINCT FROM (NEW."primary_contact_id") OR OLD."probability_override" IS DISTINCT FROM (NEW."probability_override") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."source_id" IS DISTINCT FROM (NEW."source_id") OR OLD."stage_id" IS DISTINCT FROM (NEW."stage_id") OR OLD."state" IS DISTINCT FROM (NEW."state") OR OLD."team_id" IS DISTINCT FROM (NEW."team_id"))', func='INSERT INTO "crm_pghistory_opportunity" ("account_id", "amount", "closed_at", "currency", "custom", "deleted_at", "expected_close", "forecast", "lead_id", "lost_reason", "name", "next_action_at", "next_action_kind", "owner_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "primary_contact_id", "probability_override", "public_id", "source_id", "stage_id", "state", "team_id") VALUES (OLD."account_id", OLD."amount", OLD."closed_at", OLD."currency", OLD."custom", OLD."deleted_at", OLD."expected_close", OLD."forecast", OLD."lead_id", OLD."lost_reason", OLD."name", OLD."next_action_at", OLD."next_action_kind", OLD."owner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."primary_contact_id", OLD."probability_override", OLD."public_id", OLD."source_id", OLD."stage_id", OLD."state", OLD."team_id"); RETURN NULL;', hash='8f898f1d282535df0a664b3d081777d83b9ec5a6', operation='UPDATE', pgid='pgtrigger_update_update_36516', table='crm_opportunity', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='opportunity',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_opportunity" ("account_id", "amount", "closed_at", "currency", "custom", "deleted_at", "expected_close", "forecast", "lead_id", "lost_reason", "name", "next_action_at", "next_action_kind", "owner_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "primary_contact_id", "probability_override", "public_id", "source_id", "stage_id", "state", "team_id") VALUES (OLD."account_id", OLD."amount", OLD."closed_at", OLD."currency", OLD."custom", OLD."deleted_at", OLD."expected_close", OLD."forecast", OLD."lead_id", OLD."lost_reason", OLD."name", OLD."next_action_at", OLD."next_action_kind", OLD."owner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."primary_contact_id", OLD."probability_override", OLD."public_id", OLD."source_id", OLD."stage_id", OLD."state", OLD."team_id"); RETURN NULL;', hash='3db83a3fd8172079334a400c8718c7a72a70317a', operation='DELETE', pgid='pgtrigger_delete_delete_1ebd1', table='crm_opportunity', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='pipeline',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."is_active" IS DISTINCT FROM (NEW."is_active") OR OLD."is_default" IS DISTINCT FROM (NEW."is_default") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."position" IS DISTINCT FROM (NEW."position") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id"))', func='INSERT INTO "crm_pghistory_pipeline" ("is_active", "is_default", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "public_id") VALUES (OLD."is_active", OLD."is_default", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."position", OLD."public_id"); RETURN NULL;', hash='f7eaedaaa4fe2fed2ab1ed0f09483846d49e5a48', operation='UPDATE', pgid='pgtrigger_update_update_07af2', table='crm_pipeline', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='pipeline',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_pipeline" ("is_active", "is_default", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "public_id") VALUES (OLD."is_active", OLD."is_default", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."position", OLD."public_id"); RETURN NULL;', hash='af01a204e72c28d9af6b9247a79253e016786872', operation='DELETE', pgid='pgtrigger_delete_delete_96f0d', table='crm_pipeline', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='rule',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."actions" IS DISTINCT FROM (NEW."actions") OR OLD."condition" IS DISTINCT FROM (NEW."condition") OR OLD."event" IS DISTINCT FROM (NEW."event") OR OLD."is_active" IS DISTINCT FROM (NEW."is_active") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."position" IS DISTINCT FROM (NEW."position") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id"))', func='INSERT INTO "crm_pghistory_rule" ("actions", "condition", "event", "is_active", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "public_id") VALUES (OLD."actions", OLD."condition", OLD."event", OLD."is_active", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."position", OLD."public_id"); RETURN NULL;', hash='b1854fae3edd4109a60cd20d2bde3928f47a08e1', operation='UPDATE', pgid='pgtrigger_update_update_7a690', table='crm_rule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='rule',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_rule" ("actions", "condition", "event", "is_active", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "public_id") VALUES (OLD."actions", OLD."condition", OLD."event", OLD."is_active", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."position", OLD."public_id"); RETURN NULL;', hash='191cbb620381846b0f357f311a24047e3bbfa4e8', operation='DELETE', pgid='pgtrigger_delete_delete_d3c95', table='crm_rule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='savedview',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."columns" IS DISTINCT FROM (NEW."columns") OR OLD."filters" IS DISTINCT FROM (NEW."filters") OR OLD."layout" IS DISTINCT FROM (NEW."layout") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."owner_id" IS DISTINCT FROM (NEW."owner_id") OR OLD."position" IS DISTINCT FROM (NEW."position") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."shared_with" IS DISTINCT FROM (NEW."shared_with") OR OLD."sort" IS DISTINCT FROM (NEW."sort") OR OLD."target" IS DISTINCT FROM (NEW."target") OR OLD."team_id" IS DISTINCT FROM (NEW."team_id"))', func='INSERT INTO "crm_pghistory_savedview" ("columns", "filters", "layout", "name", "owner_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "public_id", "shared_with", "sort", "target", "team_id") VALUES (OLD."columns", OLD."filters", OLD."layout", OLD."name", OLD."owner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."position", OLD."public_id", OLD."shared_with", OLD."sort", OLD."target", OLD."team_id"); RETURN NULL;', hash='5c94d150fc4d108ffc1bf49f037db6d444ed2c52', operation='UPDATE', pgid='pgtrigger_update_update_39c97', table='crm_savedview', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='savedview',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_savedview" ("columns", "filters", "layout", "name", "owner_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "public_id", "shared_with", "sort", "target", "team_id") VALUES (OLD."columns", OLD."filters", OLD."layout", OLD."name", OLD."owner_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."position", OLD."public_id", OLD."shared_with", OLD."sort", OLD."target", OLD."team_id"); RETURN NULL;', hash='cb04fbebeb296fb49ca930573b004d1b111726ad', operation='DELETE', pgid='pgtrigger_delete_delete_f6635', table='crm_savedview', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='sequence',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."is_active" IS DISTINCT FROM (NEW."is_active") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."send_window" IS DISTINCT FROM (NEW."send_window") OR OLD."stop_on" IS DISTINCT FROM (NEW."stop_on"))', func='INSERT INTO "crm_pghistory_sequence" ("is_active", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "send_window", "stop_on") VALUES (OLD."is_active", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id", OLD."send_window", OLD."stop_on"); RETURN NULL;', hash='2a35af70dc8aa1f716a85db3ee99bc2f36404733', operation='UPDATE', pgid='pgtrigger_update_update_74aac', table='crm_sequence', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='sequence',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_sequence" ("is_active", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "send_window", "stop_on") VALUES (OLD."is_active", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id", OLD."send_window", OLD."stop_on"); RETURN NULL;', hash='81762d1d6779b7762cf2755e4fd537720b3e762e', operation='DELETE', pgid='pgtrigger_delete_delete_11985', table='crm_sequence', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='stage',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."exit_rules" IS DISTINCT FROM (NEW."exit_rules") OR OLD."is_active" IS DISTINCT FROM (NEW."is_active") OR OLD."kind" IS DISTINCT FROM (NEW."kind") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."pipeline_id" IS DISTINCT FROM (NEW."pipeline_id") OR OLD."position" IS DISTINCT FROM (NEW."position") OR OLD."probability" IS DISTINCT FROM (NEW."probability") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."rot_days" IS DISTINCT FROM (NEW."rot_days") OR OLD."wip_limit" IS DISTINCT FROM (NEW."wip_limit"))', func='INSERT INTO "crm_pghistory_stage" ("exit_rules", "is_active", "kind", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "pipeline_id", "position", "probability", "public_id", "rot_days", "wip_limit") VALUES (OLD."exit_rules", OLD."is_active", OLD."kind", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."pipeline_id", OLD."position", OLD."probability", OLD."public_id", OLD."rot_days", OLD."wip_limit"); RETURN NULL;', hash='4ff3d737163782ec84a8dbde0f12a3736e4f3fff', operation='UPDATE', pgid='pgtrigger_update_update_55414', table='crm_stage', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='stage',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_stage" ("exit_rules", "is_active", "kind", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "pipeline_id", "position", "probability", "public_id", "rot_days", "wip_limit") VALUES (OLD."exit_rules", OLD."is_active", OLD."kind", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."pipeline_id", OLD."position", OLD."probability", OLD."public_id", OLD."rot_days", OLD."wip_limit"); RETURN NULL;', hash='f286b007d5afc0cad81a5a233ee9e29b05471a02', operation='DELETE', pgid='pgtrigger_delete_delete_db9fc', table='crm_stage', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='step',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."kind" IS DISTINCT FROM (NEW."kind") OR OLD."number" IS DISTINCT FROM (NEW."number") OR OLD."position" IS DISTINCT FROM (NEW."position") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."sequence_id" IS DISTINCT FROM (NEW."sequence_id") OR OLD."task_kind" IS DISTINCT FROM (NEW."task_kind") OR OLD."task_title" IS DISTINCT FROM (NEW."task_title") OR OLD."template_id" IS DISTINCT FROM (NEW."template_id") OR OLD."wait_hours" IS DISTINCT FROM (NEW."wait_hours"))', func='INSERT INTO "crm_pghistory_step" ("kind", "number", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "public_id", "sequence_id", "task_kind", "task_title", "template_id", "wait_hours") VALUES (OLD."kind", OLD."number", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."position", OLD."public_id", OLD."sequence_id", OLD."task_kind", OLD."task_title", OLD."template_id", OLD."wait_hours"); RETURN NULL;', hash='dfbeb33d02334d0e0591295404047df1a81b1b3b', operation='UPDATE', pgid='pgtrigger_update_update_22c62', table='crm_step', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='step',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_step" ("kind", "number", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "public_id", "sequence_id", "task_kind", "task_title", "template_id", "wait_hours") VALUES (OLD."kind", OLD."number", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."position", OLD."public_id", OLD."sequence_id", OLD."task_kind", OLD."task_title", OLD."template_id", OLD."wait_hours"); RETURN NULL;', hash='7c26d597c55bb568fb442b1f308e502a15d2a260', operation='DELETE', pgid='pgtrigger_delete_delete_8ec99', table='crm_step', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='tag',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."colour" IS DISTINCT FROM (NEW."colour") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id"))', func='INSERT INTO "crm_pghistory_tag" ("colour", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id") VALUES (OLD."colour", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id"); RETURN NULL;', hash='5717b2bddaf2738a05cbdaf4590e3a8a7512a24f', operation='UPDATE', pgid='pgtrigger_update_update_ba07a', table='crm_tag', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='tag',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_tag" ("colour", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id") VALUES (OLD."colour", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id"); RETURN NULL;', hash='0f54b8dcdefa4051cfd04261ebf40de7c7020e7e', operation='DELETE', pgid='pgtrigger_delete_delete_440b5', table='crm_tag', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='task',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."assignee_id" IS DISTINCT FROM (NEW."assignee_id") OR OLD."contact_id" IS DISTINCT FROM (NEW."contact_id") OR OLD."created_by_id" IS DISTINCT FROM (NEW."created_by_id") OR OLD."done_at" IS DISTINCT FROM (NEW."done_at") OR OLD."done_by_id" IS DISTINCT FROM (NEW."done_by_id") OR OLD."due_at" IS DISTINCT FROM (NEW."due_at") OR OLD."kind" IS DISTINCT FROM (NEW."kind") OR OLD."lead_id" IS DISTINCT FROM (NEW."lead_id") OR OLD."notes" IS DISTINCT FROM (NEW."notes") OR OLD."opportunity_id" IS DISTINCT FROM (NEW."opportunity_id") OR OLD."origin" IS DISTINCT FROM (NEW."origin") OR OLD."outcome" IS DISTINCT FROM (NEW."outcome") OR OLD."priority" IS DISTINCT FROM (NEW."priority") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."recurrence" IS DISTINCT FROM (NEW."recurrence") OR OLD."recurs_every" IS DISTINCT FROM (NEW."recurs_every") OR OLD."recurs_from_id" IS DISTINCT FROM (NEW."recurs_from_id") OR OLD."recurs_until" IS DISTINCT FROM (NEW."recurs_until") OR OLD."remind_at" IS DISTINCT FROM (NEW."remind_at") OR OLD."state" IS DISTINCT FROM (NEW."state") OR OLD."title" IS DISTINCT FROM (NEW."title"))', func='INSERT INTO "crm_pghistory_task" ("assignee_id", "contact_id", "created_by_id", "done_at", "done_by_id", "due_at", "kind", "lead_id", "notes", "opportunity_id", "origin", "outcome", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "priority", "public_id", "recurrence", "recurs_every", "recurs_from_id", "recurs_until", "remind_at", "state", "title") VALUES (OLD."assignee_id", OLD."contact_id", OLD."created_by_id", OLD."done_at", OLD."done_by_id", OLD."due_at", OLD."kind", OLD."lead_id", OLD."notes", OLD."opportunity_id", OLD."origin", OLD."outcome", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."priority", OLD."public_id", OLD."recurrence", OLD."recurs_every", OLD."recurs_from_id", OLD."recurs_until", OLD."remind_at", OLD."state", OLD."title"); RETURN NULL;', hash='09074432a255454a62524890a86eae3fde6af597', operation='UPDATE', pgid='pgtrigger_update_update_e0e47', table='crm_task', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='task',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_task" ("assignee_id", "contact_id", "created_by_id", "done_at", "done_by_id", "due_at", "kind", "lead_id", "notes", "opportunity_id", "origin", "outcome", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "priority", "public_id", "recurrence", "recurs_every", "recurs_from_id", "recurs_until", "remind_at", "state", "title") VALUES (OLD."assignee_id", OLD."contact_id", OLD."created_by_id", OLD."done_at", OLD."done_by_id", OLD."due_at", OLD."kind", OLD."lead_id", OLD."notes", OLD."opportunity_id", OLD."origin", OLD."outcome", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."priority", OLD."public_id", OLD."recurrence", OLD."recurs_every", OLD."recurs_from_id", OLD."recurs_until", OLD."remind_at", OLD."state", OLD."title"); RETURN NULL;', hash='4b81deab886d41d0e9c1edb6ba3dd8ba9c64aeeb', operation='DELETE', pgid='pgtrigger_delete_delete_5f5c1', table='crm_task', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='team',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."parent_id" IS DISTINCT FROM (NEW."parent_id") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id"))', func='INSERT INTO "crm_pghistory_team" ("name", "parent_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id") VALUES (OLD."name", OLD."parent_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id"); RETURN NULL;', hash='2a68389044f51f4ef696dce1eeb2412113aab925', operation='UPDATE', pgid='pgtrigger_update_update_21505', table='crm_team', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='team',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_team" ("name", "parent_id", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id") VALUES (OLD."name", OLD."parent_id", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id"); RETURN NULL;', hash='563b5bbd394bbec1f7f4fbab90b9dfd5a9878ac9', operation='DELETE', pgid='pgtrigger_delete_delete_6339b', table='crm_team', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='teammember',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."role" IS DISTINCT FROM (NEW."role") OR OLD."team_id" IS DISTINCT FROM (NEW."team_id") OR OLD."user_id" IS DISTINCT FROM (NEW."user_id"))', func='INSERT INTO "crm_pghistory_teammember" ("pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "role", "team_id", "user_id") VALUES (COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id", OLD."role", OLD."team_id", OLD."user_id"); RETURN NULL;', hash='a9c5140c446f027fe209ac528516389e874e0151', operation='UPDATE', pgid='pgtrigger_update_update_f5ffa', table='crm_teammember', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='teammember',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_teammember" ("pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "role", "team_id", "user_id") VALUES (COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id", OLD."role", OLD."team_id", OLD."user_id"); RETURN NULL;', hash='23815254ff4c7ab7d9d5dd0d35353b41c2520c15', operation='DELETE', pgid='pgtrigger_delete_delete_10468', table='crm_teammember', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='template',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."activated_at" IS DISTINCT FROM (NEW."activated_at") OR OLD."activated_by_id" IS DISTINCT FROM (NEW."activated_by_id") OR OLD."body" IS DISTINCT FROM (NEW."body") OR OLD."key" IS DISTINCT FROM (NEW."key") OR OLD."locale" IS DISTINCT FROM (NEW."locale") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."number" IS DISTINCT FROM (NEW."number") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."retired_at" IS DISTINCT FROM (NEW."retired_at") OR OLD."subject" IS DISTINCT FROM (NEW."subject"))', func='INSERT INTO "crm_pghistory_template" ("activated_at", "activated_by_id", "body", "key", "locale", "name", "number", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "retired_at", "subject") VALUES (OLD."activated_at", OLD."activated_by_id", OLD."body", OLD."key", OLD."locale", OLD."name", OLD."number", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id", OLD."retired_at", OLD."subject"); RETURN NULL;', hash='c9d9523fbd097e871e2859c50ed0955f4978d7c9', operation='UPDATE', pgid='pgtrigger_update_update_c7b51', table='crm_template', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='template',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_template" ("activated_at", "activated_by_id", "body", "key", "locale", "name", "number", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "retired_at", "subject") VALUES (OLD."activated_at", OLD."activated_by_id", OLD."body", OLD."key", OLD."locale", OLD."name", OLD."number", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id", OLD."retired_at", OLD."subject"); RETURN NULL;', hash='1d13fc56b5b60459e54ca2f4032f35c7ba27d186', operation='DELETE', pgid='pgtrigger_delete_delete_55e11', table='crm_template', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='user',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."capacity" IS DISTINCT FROM (NEW."capacity") OR OLD."email" IS DISTINCT FROM (NEW."email") OR OLD."is_accepting" IS DISTINCT FROM (NEW."is_accepting") OR OLD."is_active" IS DISTINCT FROM (NEW."is_active") OR OLD."is_superuser" IS DISTINCT FROM (NEW."is_superuser") OR OLD."locale" IS DISTINCT FROM (NEW."locale") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."role" IS DISTINCT FROM (NEW."role") OR OLD."signature" IS DISTINCT FROM (NEW."signature") OR OLD."time_zone" IS DISTINCT FROM (NEW."time_zone") OR OLD."working_hours" IS DISTINCT FROM (NEW."working_hours"))', func='INSERT INTO "crm_pghistory_user" ("capacity", "email", "is_accepting", "is_active", "is_superuser", "locale", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "role", "signature", "time_zone", "working_hours") VALUES (OLD."capacity", OLD."email", OLD."is_accepting", OLD."is_active", OLD."is_superuser", OLD."locale", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id", OLD."role", OLD."signature", OLD."time_zone", OLD."working_hours"); RETURN NULL;', hash='edb68732169b9b39786ca03f7c26dbb01c9ace7a', operation='UPDATE', pgid='pgtrigger_update_update_3aa0c', table='crm_user', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='user',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_user" ("capacity", "email", "is_accepting", "is_active", "is_superuser", "locale", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "role", "signature", "time_zone", "working_hours") VALUES (OLD."capacity", OLD."email", OLD."is_accepting", OLD."is_active", OLD."is_superuser", OLD."locale", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id", OLD."role", OLD."signature", OLD."time_zone", OLD."working_hours"); RETURN NULL;', hash='95592a23c4c5e6936bff31c5d556aaf354b7a789', operation='DELETE', pgid='pgtrigger_delete_delete_e2835', table='crm_user', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='webhookendpoint',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."created_by_id" IS DISTINCT FROM (NEW."created_by_id") OR OLD."events" IS DISTINCT FROM (NEW."events") OR OLD."is_active" IS DISTINCT FROM (NEW."is_active") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."url" IS DISTINCT FROM (NEW."url"))', func='INSERT INTO "crm_pghistory_webhookendpoint" ("created_by_id", "events", "is_active", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "url") VALUES (OLD."created_by_id", OLD."events", OLD."is_active", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id", OLD."url"); RETURN NULL;', hash='216ee99d153b66e31b727000bb266f9f3e40d934', operation='UPDATE', pgid='pgtrigger_update_update_e8e63', table='crm_webhookendpoint', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='webhookendpoint',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_webhookendpoint" ("created_by_id", "events", "is_active", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "url") VALUES (OLD."created_by_id", OLD."events", OLD."is_active", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id", OLD."url"); RETURN NULL;', hash='e478a46a6a82d8b9ca6e0f386dcce1d418a4fc7b', operation='DELETE', pgid='pgtrigger_delete_delete_d7264', table='crm_webhookendpoint', when='AFTER')),
        ),
        migrations.AddField(
            model_name='accounthistory',
            name='merged_into',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.account'),
        ),
        migrations.AddField(
            model_name='accounthistory',
            name='owner',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='accounthistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.account'),
        ),
        migrations.AddField(
            model_name='accounthistory',
            name='team',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.team'),
        ),
        migrations.AddField(
            model_name='assignmentrulehistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.assignmentrule'),
        ),
        migrations.AddField(
            model_name='assignmentrulehistory',
            name='team',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.team'),
        ),
        migrations.AddField(
            model_name='callloghistory',
            name='author',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='callloghistory',
            name='contact',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.contact'),
        ),
        migrations.AddField(
            model_name='callloghistory',
            name='event',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.timelineevent'),
        ),
        migrations.AddField(
            model_name='callloghistory',
            name='lead',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.lead'),
        ),
        migrations.AddField(
            model_name='callloghistory',
            name='opportunity',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.opportunity'),
        ),
        migrations.AddField(
            model_name='callloghistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.calllog'),
        ),
        migrations.AddField(
            model_name='captureformhistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.captureform'),
        ),
        migrations.AddField(
            model_name='captureformhistory',
            name='source',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.leadsource'),
        ),
        migrations.AddField(
            model_name='contacthistory',
            name='account',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.account'),
        ),
        migrations.AddField(
            model_name='contacthistory',
            name='merged_into',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.contact'),
        ),
        migrations.AddField(
            model_name='contacthistory',
            name='owner',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='contacthistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.contact'),
        ),
        migrations.AddField(
            model_name='contacthistory',
            name='team',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.team'),
        ),
        migrations.AddField(
            model_name='contactpointhistory',
            name='contact',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.contact'),
        ),
        migrations.AddField(
            model_name='contactpointhistory',
            name='lead',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.lead'),
        ),
        migrations.AddField(
            model_name='contactpointhistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.contactpoint'),
        ),
        migrations.AddField(
            model_name='customfieldhistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.customfield'),
        ),
        migrations.AddField(
            model_name='duplicatecandidatehistory',
            name='account_a',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.account'),
        ),
        migrations.AddField(
            model_name='duplicatecandidatehistory',
            name='account_b',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.account'),
        ),
        migrations.AddField(
            model_name='duplicatecandidatehistory',
            name='contact_a',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.contact'),
        ),
        migrations.AddField(
            model_name='duplicatecandidatehistory',
            name='contact_b',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.contact'),
        ),
        migrations.AddField(
            model_name='duplicatecandidatehistory',
            name='decided_by',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='duplicatecandidatehistory',
            name='lead_a',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.lead'),
        ),
        migrations.AddField(
            model_name='duplicatecandidatehistory',
            name='lead_b',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.lead'),
        ),
        migrations.AddField(
            model_name='duplicatecandidatehistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.duplicatecandidate'),
        ),
        migrations.AddField(
            model_name='enrollmenthistory',
            name='by',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='enrollmenthistory',
            name='contact',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.contact'),
        ),
        migrations.AddField(
            model_name='enrollmenthistory',
            name='lead',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.lead'),
        ),
        migrations.AddField(
            model_name='enrollmenthistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.enrollment'),
        ),
        migrations.AddField(
            model_name='enrollmenthistory',
            name='sequence',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.sequence'),
        ),
        migrations.AddField(
            model_name='exchangeratehistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.exchangerate'),
        ),
        migrations.AddField(
            model_name='followuphistory',
            name='agent_task',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ai_agents.agenttask'),
        ),
        migrations.AddField(
            model_name='followuphistory',
            name='approved_by',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='followuphistory',
            name='context_event',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, help_text='the newest event the author knew', null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.timelineevent'),
        ),
        migrations.AddField(
            model_name='followuphistory',
            name='created_by',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='followuphistory',
            name='lead',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.lead'),
        ),
        migrations.AddField(
            model_name='followuphistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.followup'),
        ),
        migrations.AddField(
            model_name='leadhistory',
            name='contact',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, help_text='the person, once known: leads of one contact are one person asking again', null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.contact'),
        ),
        migrations.AddField(
            model_name='leadhistory',
            name='converted_account',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.account'),
        ),
        migrations.AddField(
            model_name='leadhistory',
            name='converted_by',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='leadhistory',
            name='converted_opportunity',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.opportunity'),
        ),
        migrations.AddField(
            model_name='leadhistory',
            name='merged_into',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.lead'),
        ),
        migrations.AddField(
            model_name='leadhistory',
            name='owner',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='leadhistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.lead'),
        ),
        migrations.AddField(
            model_name='leadhistory',
            name='source',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.leadsource'),
        ),
        migrations.AddField(
            model_name='leadhistory',
            name='team',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.team'),
        ),
        migrations.AddField(
            model_name='leadsourcehistory',
            name='default_pipeline',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.pipeline'),
        ),
        migrations.AddField(
            model_name='leadsourcehistory',
            name='default_stage',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.stage'),
        ),
        migrations.AddField(
            model_name='leadsourcehistory',
            name='default_team',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.team'),
        ),
        migrations.AddField(
            model_name='leadsourcehistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.leadsource'),
        ),
        migrations.AddField(
            model_name='mailaccounthistory',
            name='owner',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='mailaccounthistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.mailaccount'),
        ),
        migrations.AddField(
            model_name='notehistory',
            name='account',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.account'),
        ),
        migrations.AddField(
            model_name='notehistory',
            name='author',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='notehistory',
            name='contact',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.contact'),
        ),
        migrations.AddField(
            model_name='notehistory',
            name='event',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.timelineevent'),
        ),
        migrations.AddField(
            model_name='notehistory',
            name='lead',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.lead'),
        ),
        migrations.AddField(
            model_name='notehistory',
            name='opportunity',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.opportunity'),
        ),
        migrations.AddField(
            model_name='notehistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.note'),
        ),
        migrations.AddField(
            model_name='opportunityhistory',
            name='account',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.account'),
        ),
        migrations.AddField(
            model_name='opportunityhistory',
            name='lead',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.lead'),
        ),
        migrations.AddField(
            model_name='opportunityhistory',
            name='owner',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='opportunityhistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.opportunity'),
        ),
        migrations.AddField(
            model_name='opportunityhistory',
            name='primary_contact',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.contact'),
        ),
        migrations.AddField(
            model_name='opportunityhistory',
            name='source',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.leadsource'),
        ),
        migrations.AddField(
            model_name='opportunityhistory',
            name='stage',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.stage'),
        ),
        migrations.AddField(
            model_name='opportunityhistory',
            name='team',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.team'),
        ),
        migrations.AddField(
            model_name='pipelinehistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.pipeline'),
        ),
        migrations.AddField(
            model_name='rulehistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.rule'),
        ),
        migrations.AddField(
            model_name='savedviewhistory',
            name='owner',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='savedviewhistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.savedview'),
        ),
        migrations.AddField(
            model_name='savedviewhistory',
            name='team',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.team'),
        ),
        migrations.AddField(
            model_name='sequencehistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.sequence'),
        ),
        migrations.AddField(
            model_name='stagehistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.stage'),
        ),
        migrations.AddField(
            model_name='stagehistory',
            name='pipeline',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.pipeline'),
        ),
        migrations.AddField(
            model_name='stephistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.step'),
        ),
        migrations.AddField(
            model_name='stephistory',
            name='sequence',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.sequence'),
        ),
        migrations.AddField(
            model_name='stephistory',
            name='template',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.template'),
        ),
        migrations.AddField(
            model_name='taghistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.tag'),
        ),
        migrations.AddField(
            model_name='taskhistory',
            name='assignee',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='taskhistory',
            name='contact',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.contact'),
        ),
        migrations.AddField(
            model_name='taskhistory',
            name='created_by',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='taskhistory',
            name='done_by',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='taskhistory',
            name='lead',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.lead'),
        ),
        migrations.AddField(
            model_name='taskhistory',
            name='opportunity',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.opportunity'),
        ),
        migrations.AddField(
            model_name='taskhistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.task'),
        ),
        migrations.AddField(
            model_name='taskhistory',
            name='recurs_from',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.task'),
        ),
        migrations.AddField(
            model_name='teamhistory',
            name='parent',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.team'),
        ),
        migrations.AddField(
            model_name='teamhistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.team'),
        ),
        migrations.AddField(
            model_name='teammemberhistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.teammember'),
        ),
        migrations.AddField(
            model_name='teammemberhistory',
            name='team',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.team'),
        ),
        migrations.AddField(
            model_name='teammemberhistory',
            name='user',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='templatehistory',
            name='activated_by',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='templatehistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.template'),
        ),
        migrations.AddField(
            model_name='userhistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='webhookendpointhistory',
            name='created_by',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='webhookendpointhistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='crm.webhookendpoint'),
        ),
        migrations.AddIndex(
            model_name='accounthistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_account_of'),
        ),
        migrations.AddIndex(
            model_name='assignmentrulehistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_assignmentrule_of'),
        ),
        migrations.AddIndex(
            model_name='callloghistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_calllog_of'),
        ),
        migrations.AddIndex(
            model_name='captureformhistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_captureform_of'),
        ),
        migrations.AddIndex(
            model_name='contacthistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_contact_of'),
        ),
        migrations.AddIndex(
            model_name='contactpointhistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_contactpoint_of'),
        ),
        migrations.AddIndex(
            model_name='customfieldhistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_customfield_of'),
        ),
        migrations.AddIndex(
            model_name='duplicatecandidatehistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_duplicatecandidate_of'),
        ),
        migrations.AddIndex(
            model_name='enrollmenthistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_enrollment_of'),
        ),
        migrations.AddIndex(
            model_name='exchangeratehistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_exchangerate_of'),
        ),
        migrations.AddIndex(
            model_name='followuphistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_followup_of'),
        ),
        migrations.AddIndex(
            model_name='leadhistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_lead_of'),
        ),
        migrations.AddIndex(
            model_name='leadsourcehistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_leadsource_of'),
        ),
        migrations.AddIndex(
            model_name='mailaccounthistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_mailaccount_of'),
        ),
        migrations.AddIndex(
            model_name='notehistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_note_of'),
        ),
        migrations.AddIndex(
            model_name='opportunityhistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_opportunity_of'),
        ),
        migrations.AddIndex(
            model_name='pipelinehistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_pipeline_of'),
        ),
        migrations.AddIndex(
            model_name='rulehistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_rule_of'),
        ),
        migrations.AddIndex(
            model_name='savedviewhistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_savedview_of'),
        ),
        migrations.AddIndex(
            model_name='sequencehistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_sequence_of'),
        ),
        migrations.AddIndex(
            model_name='stagehistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_stage_of'),
        ),
        migrations.AddIndex(
            model_name='stephistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_step_of'),
        ),
        migrations.AddIndex(
            model_name='taghistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_tag_of'),
        ),
        migrations.AddIndex(
            model_name='taskhistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_task_of'),
        ),
        migrations.AddIndex(
            model_name='teamhistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_team_of'),
        ),
        migrations.AddIndex(
            model_name='teammemberhistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_teammember_of'),
        ),
        migrations.AddIndex(
            model_name='templatehistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_template_of'),
        ),
        migrations.AddIndex(
            model_name='userhistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_user_of'),
        ),
        migrations.AddIndex(
            model_name='webhookendpointhistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_webhookendpoint_of'),
        ),
    ])]
