"""Indexes by which Today finds who waits and who was tried enough."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # built beside running work, without a lock on the tables

    dependencies = [
        ('crm', '0015_task_series'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='lead',
            index=models.Index(models.F('owner'), models.F('last_inbound_at'), condition=models.Q(('deleted_at', None), ('merged_into', None), ('status__in', ['new', 'working', 'nurturing']), ('last_inbound_at__isnull', False), models.Q(('last_outbound_at', None), ('last_outbound_at__lt', models.F('last_inbound_at')), _connector='OR')), name='crm_lead_owner_waiting'),
        ),
        AddIndexConcurrently(
            model_name='lead',
            index=models.Index(models.F('owner'), models.F('status_changed_at'), condition=models.Q(('deleted_at', None), ('merged_into', None), ('status__in', ['new', 'working', 'nurturing']), ('attempts__gte', models.F('max_attempts'))), name='crm_lead_owner_exhausted'),
        ),
    ]
