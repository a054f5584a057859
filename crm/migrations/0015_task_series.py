"""A series of tasks remembers the day and the hour it began with: month ends and lost hours do not move it."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('crm', '0014_bulk_rows'),
    ]

    operations = [
        migrations.AddField(
            model_name='task',
            name='recurs_day',
            field=models.PositiveSmallIntegerField(blank=True, editable=False, help_text='day of the month the series began with', null=True),
        ),
        migrations.AddField(
            model_name='task',
            name='recurs_time',
            field=models.TimeField(blank=True, editable=False, help_text="the same of the assignee's clock", null=True),
        ),
    ]
