"""A person's score of a lead is shown until it ends, and says so."""

from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint
from django.db import migrations, models

# On the way back: the release before knows no score that a person set, nor that one was lifted. Those leads
# stand without a score until they are judged again; what was set stays in crm_scoreoverride.
UNKNOWN_BEFORE = """
SELECT set_config('gardenos.maintenance', 'undo', true);
DELETE FROM crm_scoreoverride WHERE value IS NULL;
UPDATE crm_scoreoverride SET score_id = NULL
    WHERE score_id IN (SELECT id FROM crm_score WHERE blended_from = 'override');
DELETE FROM crm_scoreoutcome WHERE score_id IN (SELECT id FROM crm_score WHERE blended_from = 'override');
DELETE FROM crm_scorefactor WHERE score_id IN (SELECT id FROM crm_score WHERE blended_from = 'override');
DELETE FROM crm_score WHERE blended_from = 'override';
UPDATE crm_lead SET score = NULL, score_source = '' WHERE score_source = 'override';
SELECT set_config('gardenos.maintenance', '', true);
SET CONSTRAINTS ALL IMMEDIATE;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('crm', '0021_candidate_indexes'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='lead',
            name='crm_lead_score_has_source',
        ),
        migrations.RemoveConstraint(
            model_name='score',
            name='crm_score_blend_names_origin',
        ),
        migrations.RemoveConstraint(
            model_name='scoreoverride',
            name='crm_scoreoverride_0_to_100',
        ),
        migrations.AddField(
            model_name='scoreoverride',
            name='until',
            field=models.DateTimeField(blank=True, help_text='NULL: until it is lifted', null=True),
        ),
        migrations.AlterField(
            model_name='lead',
            name='score_source',
            field=models.CharField(blank=True, choices=[('rules', 'Rules'), ('statistics', 'Statistics'), ('model', 'Model estimate'), ('override', 'Set by a person')], max_length=10),
        ),
        migrations.AlterField(
            model_name='scoreoverride',
            name='value',
            field=models.PositiveSmallIntegerField(blank=True, help_text="NULL: the machine's again", null=True),
        ),
        AddConstraintNotValid(
            model_name='lead',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('score', None), ('score_source', '')), models.Q(('score__isnull', False), ('score_source__in', ['rules', 'statistics', 'model', 'override'])), _connector='OR'), name='crm_lead_score_has_source'),
        ),
        AddConstraintNotValid(
            model_name='score',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'blend'), _negated=True), ('blended_from__in', ['rules', 'statistics', 'model', 'override']), _connector='OR'), name='crm_score_blend_names_origin'),
        ),
        AddConstraintNotValid(
            model_name='scoreoverride',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('until', None), ('value', None)), models.Q(('value__isnull', False), ('value__range', (0, 100))), _connector='OR'), name='crm_scoreoverride_0_to_100'),
        ),
        ValidateConstraint('lead', 'crm_lead_score_has_source'),
        ValidateConstraint('score', 'crm_score_blend_names_origin'),
        ValidateConstraint('scoreoverride', 'crm_scoreoverride_0_to_100'),
        migrations.RunSQL(migrations.RunSQL.noop, UNKNOWN_BEFORE),
    ]
