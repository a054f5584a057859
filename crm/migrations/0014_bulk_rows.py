"""The rows of a bulk job, with what undo needs. A table of its own, because a job's cursor is written anew
with each slice and would hold a hundred thousand ids."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('crm', '0013_pairs_are_whole'),
    ]

    operations = [
        migrations.CreateModel(
            name='BulkRow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('record_id', models.BigIntegerField(help_text="key of the job's target")),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('changed', 'Changed'), ('same', 'Was so already'), ('refused', 'Refused'), ('undone', 'Taken back'), ('kept', 'Kept, because it has changed since')], default='waiting', max_length=8)),
                ('message', models.CharField(blank=True, help_text='why it was refused or kept', max_length=300)),
                ('job', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='rows', to='crm.job')),
                ('undo', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='bulk_rows', to='crm.undo')),
            ],
            options={
                'indexes': [models.Index(fields=['job', 'state', 'record_id'], name='crm_bulkrow_next')],
                'constraints': [models.UniqueConstraint(fields=('job', 'record_id'), name='crm_bulkrow_once_per_job'), models.CheckConstraint(condition=models.Q(('state__in', ['waiting', 'changed', 'same', 'refused', 'undone', 'kept'])), name='crm_bulkrow_state_known')],
            },
        ),
    ]
