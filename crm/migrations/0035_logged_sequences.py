"""The numbers of the two unlogged tables come from logged sequences.

A standby that becomes the primary finds its unlogged sequences without a page: PostgreSQL 15.18 then refused
every INSERT with "bad magic number in sequence". The tables themselves come back empty, as is meant.
"""

from django.db import migrations

SEQUENCES = ("crm_ratehit_id_seq", "crm_importstage_id_seq")


class Migration(migrations.Migration):
    dependencies = [("crm", "0034_rule_proposals_checked")]

    operations = [
        migrations.RunSQL(
            [f"ALTER SEQUENCE {name} SET LOGGED" for name in SEQUENCES],
            [f"ALTER SEQUENCE {name} SET UNLOGGED" for name in SEQUENCES],
        )
    ]
