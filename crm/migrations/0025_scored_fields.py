"""Custom fields may be left out of the score: what is filled in afterwards only copies the outcome."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('crm', '0024_readings'),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name='customfield',
            name='update_update',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='customfield',
            name='delete_delete',
        ),
        migrations.AddField(
            model_name='customfield',
            name='is_scored',
            field=models.BooleanField(db_default=True, default=True, help_text='off for what is filled in when the outcome can be seen: a score learns to copy it', verbose_name='counts for the score'),
        ),
        migrations.AddField(
            model_name='customfieldhistory',
            name='is_scored',
            field=models.BooleanField(db_default=True, default=True, help_text='off for what is filled in when the outcome can be seen: a score learns to copy it', verbose_name='counts for the score'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='customfield',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."is_active" IS DISTINCT FROM (NEW."is_active") OR OLD."is_required" IS DISTINCT FROM (NEW."is_required") OR OLD."is_scored" IS DISTINCT FROM (NEW."is_scored") OR OLD."key" IS DISTINCT FROM (NEW."key") OR OLD."label" IS DISTINCT FROM (NEW."label") OR OLD."options" IS DISTINCT FROM (NEW."options") OR OLD."position" IS DISTINCT FROM (NEW."position") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."target" IS DISTINCT FROM (NEW."target") OR OLD."type" IS DISTINCT FROM (NEW."type"))', func='INSERT INTO "crm_pghistory_customfield" ("is_active", "is_required", "is_scored", "key", "label", "options", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "public_id", "target", "type") VALUES (OLD."is_active", OLD."is_required", OLD."is_scored", OLD."key", OLD."label", OLD."options", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."position", OLD."public_id", OLD."target", OLD."type"); RETURN NULL;', hash='0271fe9846cb98f7bdc4c3a1fa6f8e712788ca8b', operation='UPDATE', pgid='pgtrigger_update_update_21777', table='crm_customfield', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='customfield',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_customfield" ("is_active", "is_required", "is_scored", "key", "label", "options", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "public_id", "target", "type") VALUES (OLD."is_active", OLD."is_required", OLD."is_scored", OLD."key", OLD."label", OLD."options", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."position", OLD."public_id", OLD."target", OLD."type"); RETURN NULL;', hash='983c493aea2cabaa7f67116e709947a4ced18e8d', operation='DELETE', pgid='pgtrigger_delete_delete_1dce2', table='crm_customfield', when='AFTER')),
        ),
    ]
