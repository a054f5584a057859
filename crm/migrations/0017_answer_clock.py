"""Until when who wrote is to be answered: a span for each source, a time on each lead that waits.

A trigger keeps the time, whoever writes the lead: the span runs from the first message since the last answer, in
the owner's working hours on the owner's clock (a lead of the pool: around the clock).
"""

import pgtrigger.compiler
import pgtrigger.migrations
from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint
from django.db import migrations, models

FUNCTION = """
CREATE FUNCTION crm_answer_due(asked timestamptz, minutes integer, hours jsonb, zone text) RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
DECLARE
    days CONSTANT text[] := '{mon,tue,wed,thu,fri,sat,sun}';
    remaining interval := make_interval(mins => minutes);
    day date;
    shift jsonb;
    opens timestamptz;
    closes timestamptz;
BEGIN
    IF hours IS NULL OR hours = '{}' THEN
        RETURN asked + remaining;
    END IF;
    day := (asked AT TIME ZONE zone)::date - 1;  -- the night before may still go on
    FOR n IN 0..400 LOOP
        shift := hours -> days[extract(isodow FROM day)::integer];
        IF jsonb_typeof(shift) = 'array' THEN
            opens := (day + (shift ->> 0)::time) AT TIME ZONE zone;
            closes := (day + (shift ->> 1)::time) AT TIME ZONE zone;
            IF closes <= opens THEN
                closes := (day + 1 + (shift ->> 1)::time) AT TIME ZONE zone;
            END IF;
            opens := greatest(opens, asked);
            IF closes - opens >= remaining THEN
                RETURN opens + remaining;
            ELSIF closes > opens THEN
                remaining := remaining - (closes - opens);
                asked := closes;
            END IF;
        END IF;
        day := day + 1;
    END LOOP;
    RETURN asked + remaining;  -- hours on no day at all
EXCEPTION WHEN data_exception OR invalid_parameter_value THEN  -- hours or a zone that nobody can read
    RETURN asked + remaining;
END $$;

CREATE FUNCTION crm_lead_answer_clock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.asked_at := coalesce(NEW.asked_at, NEW.last_inbound_at);
    ELSIF OLD.asked_at IS NULL OR NEW.last_inbound_at IS NULL OR NEW.last_inbound_at < OLD.asked_at
            OR (OLD.last_outbound_at >= OLD.last_inbound_at AND NEW.last_inbound_at <> OLD.last_inbound_at) THEN
        NEW.asked_at := NEW.last_inbound_at;
    ELSE
        NEW.asked_at := OLD.asked_at;  -- who asks again does not wait longer for it
    END IF;
    IF NEW.last_inbound_at IS NULL OR NEW.last_outbound_at >= NEW.last_inbound_at THEN
        NEW.answer_due_at := NULL;
        RETURN NEW;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.answer_due_at IS NOT NULL THEN
            RETURN NEW;  -- an archive that is read back
        END IF;
    ELSIF OLD.answer_due_at IS NOT NULL AND OLD.owner_id IS NOT DISTINCT FROM NEW.owner_id
            AND OLD.source_id = NEW.source_id AND OLD.asked_at = NEW.asked_at THEN
        NEW.answer_due_at := OLD.answer_due_at;
        RETURN NEW;
    END IF;
    SELECT crm_answer_due(NEW.asked_at, source.answer_minutes, owner.working_hours, owner.time_zone)
      INTO NEW.answer_due_at
      FROM crm_leadsource source LEFT JOIN crm_user owner ON owner.id = NEW.owner_id
     WHERE source.id = NEW.source_id;
    RETURN NEW;
END $$;

CREATE TRIGGER crm_lead_answer_clock_insert BEFORE INSERT ON crm_lead
    FOR EACH ROW WHEN (coalesce(NEW.last_inbound_at, NEW.asked_at, NEW.answer_due_at) IS NOT NULL)
    EXECUTE FUNCTION crm_lead_answer_clock();
CREATE TRIGGER crm_lead_answer_clock_update
    BEFORE UPDATE OF last_inbound_at, last_outbound_at, owner_id, source_id, asked_at, answer_due_at
    ON crm_lead
    FOR EACH ROW WHEN (coalesce(NEW.last_inbound_at, NEW.asked_at, NEW.answer_due_at) IS NOT NULL)
    EXECUTE FUNCTION crm_lead_answer_clock();
"""
NO_FUNCTION = """
DROP TRIGGER crm_lead_answer_clock_insert ON crm_lead;
DROP TRIGGER crm_lead_answer_clock_update ON crm_lead;
DROP FUNCTION crm_lead_answer_clock();
DROP FUNCTION crm_answer_due(timestamptz, integer, jsonb, text);
"""


class Migration(migrations.Migration):
    dependencies = [("crm", "0016_today_indexes")]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name="leadsource",
            name="update_update",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="leadsource",
            name="delete_delete",
        ),
        migrations.AddField(
            model_name="leadsource",
            name="answer_minutes",
            field=models.PositiveIntegerField(
                db_default=1440,
                default=1440,
                help_text="Who writes is to be answered in this time, counted in the owner's working hours.",
                verbose_name="answer within (minutes)",
            ),
        ),
        migrations.AddField(
            model_name="leadsourcehistory",
            name="answer_minutes",
            field=models.PositiveIntegerField(
                db_default=1440,
                default=1440,
                help_text="Who writes is to be answered in this time, counted in the owner's working hours.",
                verbose_name="answer within (minutes)",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="leadsource",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (OLD."answer_minutes" IS DISTINCT FROM (NEW."answer_minutes") OR OLD."campaign" IS DISTINCT FROM (NEW."campaign") OR OLD."code" IS DISTINCT FROM (NEW."code") OR OLD."currency" IS DISTINCT FROM (NEW."currency") OR OLD."default_country" IS DISTINCT FROM (NEW."default_country") OR OLD."default_pipeline_id" IS DISTINCT FROM (NEW."default_pipeline_id") OR OLD."default_stage_id" IS DISTINCT FROM (NEW."default_stage_id") OR OLD."default_team_id" IS DISTINCT FROM (NEW."default_team_id") OR OLD."kind" IS DISTINCT FROM (NEW."kind") OR OLD."monthly_cost" IS DISTINCT FROM (NEW."monthly_cost") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."public_id" IS DISTINCT FROM (NEW."public_id"))',
                    func='INSERT INTO "crm_pghistory_leadsource" ("answer_minutes", "campaign", "code", "currency", "default_country", "default_pipeline_id", "default_stage_id", "default_team_id", "kind", "monthly_cost", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id") VALUES (OLD."answer_minutes", OLD."campaign", OLD."code", OLD."currency", OLD."default_country", OLD."default_pipeline_id", OLD."default_stage_id", OLD."default_team_id", OLD."kind", OLD."monthly_cost", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', OLD."id", OLD."public_id"); RETURN NULL;',
                    hash="6a653e734f71c0c56c372f84e15b3a2864b36e1c",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_fa8e8",
                    table="crm_leadsource",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="leadsource",
            trigger=pgtrigger.compiler.Trigger(
                name="delete_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "crm_pghistory_leadsource" ("answer_minutes", "campaign", "code", "currency", "default_country", "default_pipeline_id", "default_stage_id", "default_team_id", "kind", "monthly_cost", "name", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id") VALUES (OLD."answer_minutes", OLD."campaign", OLD."code", OLD."currency", OLD."default_country", OLD."default_pipeline_id", OLD."default_stage_id", OLD."default_team_id", OLD."kind", OLD."monthly_cost", OLD."name", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."public_id"); RETURN NULL;',
                    hash="779fe28ebf993ab2ba608e55766755d6ee41487b",
                    operation="DELETE",
                    pgid="pgtrigger_delete_delete_583ce",
                    table="crm_leadsource",
                    when="AFTER",
                ),
            ),
        ),
        migrations.AddField(
            model_name="lead",
            name="asked_at",
            field=models.DateTimeField(
                editable=False,
                help_text="the first message since the last answer before it: the answer's clock runs from here",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="lead",
            name="answer_due_at",
            field=models.DateTimeField(
                editable=False,
                help_text="when who spoke last is to be answered; NULL: nobody waits. Kept by a trigger",
                null=True,
            ),
        ),
        AddConstraintNotValid(
            model_name="leadsource",
            constraint=models.CheckConstraint(
                condition=models.Q(("answer_minutes__range", (1, 43200))),
                name="crm_leadsource_answers_in_a_month",
            ),
        ),
        ValidateConstraint("leadsource", "crm_leadsource_answers_in_a_month"),
        migrations.RunSQL(FUNCTION, NO_FUNCTION),
    ]
