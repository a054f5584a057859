"""A release that does not know the column writes scores as well: the database has its value."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('crm', '0027_hidden_addresses'),
    ]

    operations = [
        migrations.AlterField(
            model_name='score',
            name='would_change',
            field=models.JSONField(blank=True, db_default=[], default=list, help_text='what would change the judgement, in a few words each'),
        ),
    ]
