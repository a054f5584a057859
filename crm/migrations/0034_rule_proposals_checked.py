"""What 0033 demands of new proposals holds for those that were there before, too."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("crm", "0033_rule_proposals")]

    operations = [
        ValidateConstraint(model_name="replytriage", name="crm_replytriage_task_or_rule"),
        migrations.RunSQL(  # the release before knows only proposals of agents' tasks
            migrations.RunSQL.noop, reverse_sql="DELETE FROM crm_replytriage WHERE task_id IS NULL"
        ),
    ]
