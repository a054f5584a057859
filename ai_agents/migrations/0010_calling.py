"""Tasks that a pump has claimed ahead are told from those that call a model."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ai_agents', '0009_replay_lab'),
    ]

    operations = [
        migrations.AddField(
            model_name='agenttask',
            name='called_at',
            field=models.DateTimeField(blank=True, help_text='since when it may call a model; empty while a pump has it in hand', null=True),
        ),
    ]
