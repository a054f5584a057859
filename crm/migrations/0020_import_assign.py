"""Who gets the leads that an import makes: nobody, people by the assignment rules, or one person."""

import django.db.models.deletion
from django.conf import settings
from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('crm', '0019_today_lanes'),
    ]

    operations = [
        migrations.AddField(
            model_name='importjob',
            name='assign',
            field=models.CharField(choices=[('none', 'Nobody: they wait in the pool'), ('rules', 'By the assignment rules'), ('user', 'One person')], db_default='none', default='none', max_length=5),
        ),
        migrations.AddField(
            model_name='importjob',
            name='assign_to',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        AddConstraintNotValid(
            model_name='importjob',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('assign__in', ['none', 'rules']), ('assign_to', None)), models.Q(('assign', 'user'), ('assign_to__isnull', False)), _connector='OR'), name='crm_importjob_assign_whole'),
        ),
        ValidateConstraint('importjob', 'crm_importjob_assign_whole'),
    ]
