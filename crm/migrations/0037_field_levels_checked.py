"""What 0036 demands of own fields holds for those that were there before, too."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("crm", "0036_field_levels")]

    operations = [
        ValidateConstraint(model_name="customfield", name="crm_customfield_read_from_known"),
        ValidateConstraint(model_name="customfield", name="crm_customfield_write_from_known"),
        ValidateConstraint(model_name="customfield", name="crm_customfield_written_by_readers"),
    ]
