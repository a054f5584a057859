"""Own fields say from which role on they are read, and from which on they are filled in."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('crm', '0035_logged_sequences'),
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
            name='read_from',
            field=models.CharField(choices=[('admin', 'Admin'), ('manager', 'Manager'), ('rep', 'Sales rep'), ('read_only', 'Read only')], db_default='read_only', default='read_only', help_text='this role and those above it; agents read what everybody reads', max_length=12, verbose_name='read by'),
        ),
        migrations.AddField(
            model_name='customfield',
            name='write_from',
            field=models.CharField(choices=[('admin', 'Admin'), ('manager', 'Manager'), ('rep', 'Sales rep'), ('read_only', 'Read only')], db_default='rep', default='rep', help_text='this role and those above it; forms fill in each field', max_length=12, verbose_name='filled in by'),
        ),
        migrations.AddField(
            model_name='customfieldhistory',
            name='read_from',
            field=models.CharField(choices=[('admin', 'Admin'), ('manager', 'Manager'), ('rep', 'Sales rep'), ('read_only', 'Read only')], db_default='read_only', default='read_only', help_text='this role and those above it; agents read what everybody reads', max_length=12, verbose_name='read by'),
        ),
        migrations.AddField(
            model_name='customfieldhistory',
            name='write_from',
            field=models.CharField(choices=[('admin', 'Admin'), ('manager', 'Manager'), ('rep', 'Sales rep'), ('read_only', 'Read only')], db_default='rep', default='rep', help_text='this role and those above it; forms fill in each field', max_length=12, verbose_name='filled in by'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='customfield',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."is_active" IS DISTINCT FROM (NEW."is_active") OR OLD."is_required" IS DISTINCT FROM (NEW."is_required") OR OLD."is_scored" IS DISTINCT FROM (NEW."is_scored") OR OLD."key" IS DISTINCT FROM (NEW."key") OR OLD."label" IS DISTINCT FROM (NEW."label") OR OLD."options" IS DISTINCT FROM (NEW."options") OR OLD."position" IS DISTINCT FROM (NEW."position") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."read_from" IS DISTINCT FROM (NEW."read_from") OR OLD."target" IS DISTINCT FROM (NEW."target") OR OLD."type" IS DISTINCT FROM (NEW."type") OR OLD."write_from" IS DISTINCT FROM (NEW."write_from"))', func='INSERT INTO "crm_pghistory_customfield" ("is_active", "is_required", "is_scored", "key", "label", "options", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "public_id", "read_from", "target", "type", "write_from") VALUES (OLD."is_active", OLD."is_required", OLD."is_scored", OLD."key", OLD."label", OLD."options", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."position", OLD."public_id", OLD."read_from", OLD."target", OLD."type", OLD."write_from"); RETURN NULL;', hash='0e497f5fafc1efa45422ecd27c5c5b002ecfc363', operation='UPDATE', pgid='pgtrigger_update_update_21777', table='crm_customfield', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='customfield',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "crm_pghistory_customfield" ("is_active", "is_required", "is_scored", "key", "label", "options", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "public_id", "read_from", "target", "type", "write_from") VALUES (OLD."is_active", OLD."is_required", OLD."is_scored", OLD."key", OLD."label", OLD."options", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."position", OLD."public_id", OLD."read_from", OLD."target", OLD."type", OLD."write_from"); RETURN NULL;', hash='36b8a179c09c3eedd2fb9456f19c5d0b5fc86f3d', operation='DELETE', pgid='pgtrigger_delete_delete_1dce2', table='crm_customfield', when='AFTER')),
        ),
        AddConstraintNotValid(
            model_name='customfield',
            constraint=models.CheckConstraint(condition=models.Q(('read_from__in', ['admin', 'manager', 'rep', 'read_only'])), name='crm_customfield_read_from_known'),
        ),
        AddConstraintNotValid(
            model_name='customfield',
            constraint=models.CheckConstraint(condition=models.Q(('write_from__in', ['rep', 'manager', 'admin'])), name='crm_customfield_write_from_known'),
        ),
        AddConstraintNotValid(
            model_name='customfield',
            constraint=models.CheckConstraint(condition=models.Q(('read_from__in', ['read_only', 'rep']), ('write_from', 'admin'), models.Q(('read_from', 'manager'), ('write_from', 'manager')), _connector='OR'), name='crm_customfield_written_by_readers', violation_error_message='Who fills in a field must be able to read it.'),
        ),
    ]
