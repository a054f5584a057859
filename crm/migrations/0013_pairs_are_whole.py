"""A likely duplicate names both of its records: with one of them NULL the comparison was unknown, and passed."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('crm', '0012_audit_row_hashes'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='duplicatecandidate',
            name='crm_duplicatecandidate_a_before_b',
        ),
        migrations.AddConstraint(
            model_name='duplicatecandidate',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('account_a', None), ('account_b', None), ('contact_a', None), ('contact_b', None), ('lead_a__isnull', False), ('lead_a__lt', models.F('lead_b')), ('lead_b__isnull', False), ('target', 'lead')), models.Q(('account_a', None), ('account_b', None), ('contact_a__isnull', False), ('contact_a__lt', models.F('contact_b')), ('contact_b__isnull', False), ('lead_a', None), ('lead_b', None), ('target', 'contact')), models.Q(('account_a__isnull', False), ('account_a__lt', models.F('account_b')), ('account_b__isnull', False), ('contact_a', None), ('contact_b', None), ('lead_a', None), ('lead_b', None), ('target', 'account')), _connector='OR'), name='crm_duplicatecandidate_a_before_b'),
        ),
    ]
