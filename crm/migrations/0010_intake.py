"""Why an inquiry failed, rows of an import that stand alone, and the indexes that lead to likely duplicates."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('crm', '0009_search_words'),
    ]

    operations = [
        migrations.AddField(
            model_name='importstage',
            name='is_alone',
            field=models.BooleanField(db_default=False, default=False, help_text='written by receive_row: records must be brought together'),
        ),
        migrations.AddField(
            model_name='inquiry',
            name='error',
            field=models.CharField(blank=True, help_text='why no lead could be made of it', max_length=300),
        ),
        migrations.AddIndex(
            model_name='matchkey',
            index=models.Index(models.Func(models.F('value'), models.Value('|'), models.Value(1), function='split_part'), models.F('lead'), condition=models.Q(('kind', 'name_company'), ('lead__isnull', False)), name='crm_matchkey_same_name'),
        ),
        migrations.AddIndex(
            model_name='matchkey',
            index=models.Index(models.Func(models.F('value'), models.Value('|'), models.Value(2), function='split_part'), models.F('lead'), condition=models.Q(('kind', 'name_company'), ('lead__isnull', False)), name='crm_matchkey_same_company'),
        ),
        migrations.AddIndex(
            model_name='matchkey',
            index=models.Index(models.F('value'), models.F('lead'), condition=models.Q(('kind', 'domain'), ('lead__isnull', False)), name='crm_matchkey_same_domain'),
        ),
    ]
