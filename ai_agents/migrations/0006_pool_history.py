"""What a pool of agents was before a change, as crm.0007 and crm.0008 do it for the records of crm."""

import django.db.models.deletion
import pghistory.utils
import pgtrigger.compiler
import pgtrigger.migrations
import uuid
from django.db import migrations, models


STAYS = """
CREATE TRIGGER ai_agents_pghistory_agentpool_append_only BEFORE UPDATE OR DELETE ON ai_agents_pghistory_agentpool
    FOR EACH ROW EXECUTE FUNCTION crm_append_only();
"""
GOES = "DROP TRIGGER ai_agents_pghistory_agentpool_append_only ON ai_agents_pghistory_agentpool;"


class Migration(migrations.Migration):
    dependencies = [
        ("ai_agents", "0005_engine"),
        ("crm", "0008_history_stays"),
    ]

    operations = [
        migrations.CreateModel(
            name='AgentPoolHistory',
            fields=[
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_id', models.BigAutoField(primary_key=True, serialize=False)),
                ('pgh_context', pghistory.utils.JSONField(null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('kind', models.CharField(max_length=40)),
                ('provider', models.CharField(blank=True, help_text='empty: as AI_PROVIDER says', max_length=20)),
                ('model', models.CharField(blank=True, help_text='empty: as AI_MODEL says', max_length=120)),
                ('min_concurrency', models.PositiveSmallIntegerField(default=0)),
                ('max_concurrency', models.PositiveSmallIntegerField(default=64)),
                ('target', models.PositiveSmallIntegerField(default=2, help_text='calls in flight at a time')),
                ('is_auto', models.BooleanField(db_default=False, default=False, help_text='the autoscaler moves the target')),
                ('rpm', models.PositiveIntegerField(default=0, help_text='requests a minute, 0 = no limit')),
                ('budget_day_usd', models.DecimalField(blank=True, decimal_places=4, help_text='NULL: only the overall budget', max_digits=12, null=True)),
                ('draft_from', models.PositiveSmallIntegerField(default=60, help_text='a blend at or above this queues a draft')),
                ('paused', models.BooleanField(default=False)),
                ('paused_because', models.CharField(blank=True, max_length=200)),
                ('paused_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'verbose_name_plural': 'history of agent pools',
                'db_table': 'ai_agents_pghistory_agentpool',
                'abstract': False,
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agentpool',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."budget_day_usd" IS DISTINCT FROM (NEW."budget_day_usd") OR OLD."draft_from" IS DISTINCT FROM (NEW."draft_from") OR OLD."is_auto" IS DISTINCT FROM (NEW."is_auto") OR OLD."kind" IS DISTINCT FROM (NEW."kind") OR OLD."max_concurrency" IS DISTINCT FROM (NEW."max_concurrency") OR OLD."min_concurrency" IS DISTINCT FROM (NEW."min_concurrency") OR OLD."model" IS DISTINCT FROM (NEW."model") OR OLD."paused" IS DISTINCT FROM (NEW."paused") OR OLD."paused_at" IS DISTINCT FROM (NEW."paused_at") OR OLD."paused_because" IS DISTINCT FROM (NEW."paused_because") OR OLD."provider" IS DISTINCT FROM (NEW."provider") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id") OR OLD."rpm" IS DISTINCT FROM (NEW."rpm") OR OLD."target" IS DISTINCT FROM (NEW."target"))', func='INSERT INTO "ai_agents_pghistory_agentpool" ("budget_day_usd", "draft_from", "is_auto", "kind", "max_concurrency", "min_concurrency", "model", "paused", "paused_at", "paused_because", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "provider", "public_id", "rpm", "target") VALUES (OLD."budget_day_usd", OLD."draft_from", OLD."is_auto", OLD."kind", OLD."max_concurrency", OLD."min_concurrency", OLD."model", OLD."paused", OLD."paused_at", OLD."paused_because", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."provider", OLD."public_id", OLD."rpm", OLD."target"); RETURN NULL;', hash='cf6d4f29482e71a8b0e23eaedf5557d9827e0e81', operation='UPDATE', pgid='pgtrigger_update_update_9c21e', table='ai_agents_agentpool', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agentpool',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ai_agents_pghistory_agentpool" ("budget_day_usd", "draft_from", "is_auto", "kind", "max_concurrency", "min_concurrency", "model", "paused", "paused_at", "paused_because", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "provider", "public_id", "rpm", "target") VALUES (OLD."budget_day_usd", OLD."draft_from", OLD."is_auto", OLD."kind", OLD."max_concurrency", OLD."min_concurrency", OLD."model", OLD."paused", OLD."paused_at", OLD."paused_because", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."provider", OLD."public_id", OLD."rpm", OLD."target"); RETURN NULL;', hash='7a9ae05b6d7f1684c14f6395e62d0e13827c4c23', operation='DELETE', pgid='pgtrigger_delete_delete_48198', table='ai_agents_agentpool', when='AFTER')),
        ),
        migrations.AddField(
            model_name='agentpoolhistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='history', related_query_name='history', to='ai_agents.agentpool'),
        ),
        migrations.AddIndex(
            model_name='agentpoolhistory',
            index=models.Index(fields=['pgh_obj', '-pgh_id'], name='pgh_agentpool_of'),
        ),
        migrations.RunSQL(STAYS, GOES),
    ]
