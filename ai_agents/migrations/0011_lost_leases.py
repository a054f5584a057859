"""How often a task was lost together with others."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ai_agents', '0010_calling'),
    ]

    operations = [
        migrations.AddField(
            model_name='agenttask',
            name='lost',
            field=models.PositiveSmallIntegerField(db_default=0, default=0, help_text="leases lost together with others', which cost no attempt"),
        ),
    ]
