"""The census: every named rule of our tables is tried, and refused by the database under its name.

A case is what to change in a valid row (tests/crm/valid_rows.py), which is written unchanged
first: the control. Unique rules are tried by writing the same values twice. A rule of the live
catalogue without a case fails.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, models, transaction

from ai_agents.models import AgentCall
from crm.models import (
    HISTORY,
    Account,
    AuditLog,
    AuditSeal,
    Contact,
    DuplicateCandidate,
    FollowUp,
    Lead,
    LeadStatusChange,
    Message,
    Opportunity,
    Stage,
    StageChange,
    Team,
    TimelineEvent,
    User,
    follow_up_hash,
)
from crm.models.scores import ScoreOutcome, ScoreOverride
from tests.crm.valid_rows import AT, a, values_of

pytestmark = pytest.mark.django_db
Changes = dict[str, Any] | Callable[[], dict[str, Any]]

CHECKS: dict[str, Changes] = {
    "crm_account_has_name": {"name": ""},
    "crm_account_size_known": {"size_band": "vast"},
    "crm_contact_has_name": {"full_name": ""},
    "crm_lead_has_name": {"name": ""},
    "crm_lead_score_0_to_100": {"score": 101, "score_source": "rules"},
    "crm_lead_score_has_source": {"score": 50},
    "crm_lead_converted_has_time": {"status": "converted"},
    "crm_lead_disqualified_has_reason": {"status": "disqualified"},
    "crm_lead_nurturing_has_wake_time": {"status": "nurturing"},
    "crm_lead_outcome_has_time_and_origin": {"outcome": "won"},
    "crm_lead_next_action_whole": {"next_action_kind": "call"},
    "crm_lead_value_not_negative": {"est_value": -1},
    "crm_customfield_written_by_readers": {"read_from": "manager", "write_from": "rep"},
    "crm_importjob_assign_whole": {"assign": "user"},
    "crm_leadsource_answers_in_a_month": {"answer_minutes": 43_201},
    "crm_leadstatuschange_from_status_known": {"from_status": "?", "seconds_in_from": 1},
    "crm_opportunity_state_known": {"state": "?", "closed_at": AT},
    "crm_message_state_known": lambda: {"direction": "out", "state": "?", "follow_up": a(FollowUp)},
    "crm_leadstatuschange_duration_whole": {"from_status": "new"},
    "crm_captureform_has_name": {"name": ""},
    "crm_contactpoint_exactly_one_owner": lambda: {"contact": a(Contact)},
    "crm_contactpoint_has_norm": {"norm": ""},
    "crm_matchkey_exactly_one_owner": lambda: {"contact": a(Contact)},
    "crm_duplicatecandidate_a_before_b": {"lead_b": None},
    "crm_duplicatecandidate_score_0_to_100": {"score": 101},
    "crm_mergelog_two_of_a_kind": {"loser_lead": None},
    "crm_pipeline_has_name": {"name": ""},
    "crm_stage_probability_fits": {"kind": "won", "probability": 50},
    "crm_stage_limits_positive": {"rot_days": 0},
    "crm_opportunity_has_name": {"name": ""},
    "crm_opportunity_lost_has_reason": lambda: {
        "state": "lost",
        "stage": a(Stage, kind="lost", probability=0),
        "closed_at": AT,
    },
    "crm_opportunity_closed_has_time": {"closed_at": AT},
    "crm_opportunity_amount_not_negative": {"amount": -1},
    "crm_opportunity_probability_0_to_100": {"probability_override": 101},
    "crm_opportunity_next_action_whole": {"next_action_kind": "call"},
    "crm_stagechange_duration_whole": {"seconds_in_from": 5},
    "crm_exchangerate_positive": {"rate": 0},
    "crm_exchangerate_two_currencies": {"base": "USD"},
    "crm_timelineevent_has_subject": {"lead": None},
    "crm_note_has_body": {"body": ""},
    "crm_note_has_subject": {"lead": None},
    "crm_followup_approved_as_it_is": {"state": "approved"},
    "crm_followup_rejected_has_reason": {"state": "rejected"},
    "crm_followup_edit_ratio_0_to_1": {"edit_ratio": 1.5},
    "crm_message_in_is_received": {"state": "draft"},
    "crm_message_out_has_follow_up": {"direction": "out", "state": "draft"},
    "crm_task_has_title": {"title": ""},
    "crm_task_done_has_time": {"state": "done"},
    "crm_task_recurring_has_due": {"recurrence": "daily"},
    "crm_task_at_most_one_subject": lambda: {"lead": a(Lead), "contact": a(Contact)},
    "crm_task_priority_known": {"priority": 9},
    "crm_calllog_has_subject": {"lead": None},
    "crm_attachment_exactly_one_owner": {"lead": None},
    "crm_attachment_size_1_byte_to_25_mib": {"size_bytes": 26_214_401},
    "crm_notification_has_text": {"text": ""},
    "crm_assignmentlog_has_reason": {"reason": ""},
    "crm_template_activated_whole": {"activated_at": AT},
    "crm_step_mail_has_template": {"kind": "mail"},
    "crm_enrollment_stopped_has_reason": {"state": "stopped"},
    "crm_savedview_has_name": {"name": ""},
    "crm_savedview_team_when_shared": lambda: {"team": a(Team)},
    "crm_tag_has_name": {"name": ""},
    "crm_tagging_exactly_one_owner": lambda: {"contact": a(Contact)},
    "crm_invitation_accepted_whole": {"accepted_at": AT},
    "crm_suppression_has_hash": {"norm_hash": ""},
    "crm_consent_has_purpose": {"purpose": ""},
    "crm_consent_has_hash": {"norm_hash": ""},
    "crm_privacyrequest_done_has_time": {"state": "done"},
    "crm_score_0_to_100": {"value": 101, "band": "hot"},
    "crm_score_probability_0_to_1": {"probability": 2},
    "crm_score_band_fits": {"band": "hot"},
    "crm_score_blend_names_origin": {"kind": "blend"},
    "crm_score_model_has_task": {"kind": "model"},
    "crm_scorefactor_verified_has_place": {"verified": True},
    "crm_scoreoutcome_horizon_positive": {"horizon_days": 0},
    "crm_scoreoverride_0_to_100": {"value": None, "until": AT},
    "crm_scoreoverride_has_reason": {"reason": ""},
    "crm_replytriage_quote_has_place": {"quote_end": 0},
    "crm_replytriage_sleep_has_date": {"step": "sleep"},
    "crm_replytriage_decided_by_somebody": {"state": "accepted"},
    "crm_replytriage_task_or_rule": {"provider": "deepinfra"},
    "crm_opportunityrisk_has_place": {"end": 0},
    "crm_liveepoch_one_row": {"id": 2},
    "ai_agents_agentpool_target_in_bounds": {"target": 9},
    "ai_agents_budgetcap_not_negative": {"usd_day": -1},
    "ai_agents_agentpool_max_256": {"max_concurrency": 257},
    "ai_agents_agentpool_draft_from_0_to_100": {"draft_from": 101},
    "ai_agents_agenttask_priority_0_to_9": {"priority": 10},
    "ai_agents_agenttask_running_has_lease": {"state": "running"},
    "ai_agents_agentcall_ok_has_cost": {"status": "ok"},
    "ai_agents_budget_not_negative": {"reserved": -1},
    "ai_agents_replay_compares": dict.fromkeys(
        ("candidate_prompt", "candidate_model", "present_prompt", "present_model"), "x"
    ),
    "ai_agents_replayanswer_answered_has_fit": {"state": "answered"},
    "ai_agents_promptuse_changes": {"prompt": "x", "previous": "x"},
    "ai_agents_providerhealth_open_has_times": {"state": "open"},
    "ai_agents_providerhealth_probe_while_half_open": {"probe": uuid4()},
    "ai_agents_scoringmodel_has_rows": {"rows": 0},
    "ai_agents_scoringmodel_active_has_weights": {"is_active": True},
    "ai_agents_scoringmodel_pinned_is_active": {"is_pinned": True},
}
# Unique rules whose condition a plain valid row does not meet.
DOUBLES: dict[str, Changes] = {
    "crm_contactpoint_one_primary": {"is_primary": True},
    "crm_contactpoint_once_per_contact": lambda: {"lead": None, "contact": a(Contact)},
    "crm_contactpoint_contact_primary": lambda: {"lead": None, "contact": a(Contact), "is_primary": True},
    "crm_matchkey_once_per_contact": lambda: {"lead": None, "contact": a(Contact)},
    "crm_matchkey_once_per_account": lambda: {"lead": None, "account": a(Account)},
    "crm_pipeline_one_default": {"is_default": True},
    "crm_tagging_once_per_contact": lambda: {"lead": None, "contact": a(Contact)},
    "crm_tagging_once_per_account": lambda: {"lead": None, "account": a(Account)},
    "crm_tagging_once_per_opportunity": lambda: {"lead": None, "opportunity": a(Opportunity)},
    "crm_inquiry_once_per_key": {"idempotency_key": "k"},
    "crm_message_id_once": {"message_id": "<1@example.com>"},
    "crm_score_one_current": {"is_current": True},
    "ai_agents_scoringmodel_one_active": {"is_active": True, "weights": {"intercept": -1.5}},
}
# What the second row must have otherwise, so that no other unique rule refuses it first.
OTHERWISE: dict[str, dict[str, Any]] = {
    "crm_contactpoint_one_primary": {"norm": "other"},
    "crm_contactpoint_contact_primary": {"norm": "other"},
    "crm_stage_position_once": {"name": "Other"},
}
# A row that breaks the first breaks the second as well, and PostgreSQL looks in the order of names.
IMPLIED = {
    "crm_lead_outcome_known": "crm_lead_outcome_has_time_and_origin",
    "crm_duplicatecandidate_target_known": "crm_duplicatecandidate_a_before_b",
}
# Shown by tests of their own: named triggers and rules that no single row can break.
ELSEWHERE = {
    "crm_followup_hash_is_true": "test_database_refuses",
    "crm_followup_sent_has_recipient": "test_the_rules_that_need_more_than_one_row",
    "crm_message_sent_has_time": "test_the_rules_that_need_more_than_one_row",
    "crm_opportunity_state_follows_stage": "test_the_rules_that_need_more_than_one_row",
    "crm_duplicatecandidate_contacts_once": "test_the_rules_that_need_more_than_one_row",
    "crm_duplicatecandidate_accounts_once": "test_the_rules_that_need_more_than_one_row",
    "crm_account_not_merged_into_itself": "test_the_rules_that_need_more_than_one_row",
    "crm_contact_not_merged_into_itself": "test_the_rules_that_need_more_than_one_row",
    "crm_lead_not_merged_into_itself": "test_the_rules_that_need_more_than_one_row",
    "crm_stage_id_kind": "holds the composite key; the primary key refuses first",
    "crm_message_is_approved": "test_database_refuses",
    "crm_followup_not_while_sending": "test_database_refuses",
}


def our_models() -> list[type[models.Model]]:
    return [
        model
        for app in ("crm", "ai_agents")
        for model in apps.get_app_config(app).get_models()
        if not hasattr(model, "pgh_tracked_model")
    ]


def named(kind: type) -> list[tuple[type[models.Model], Any]]:
    return [
        (model, rule) for model in our_models() for rule in model._meta.constraints if isinstance(rule, kind)
    ]


def resolved(changes: Changes) -> dict[str, Any]:
    return changes() if callable(changes) else changes


def case_of(model: type[models.Model], name: str) -> Changes | None:
    """The case by hand, or for a list of known words a word that is in none."""
    if name in CHECKS:
        return CHECKS[name]
    if name.endswith("_known"):
        field = name.removeprefix(f"{model._meta.db_table}_").removesuffix("_known")
        return {field: "?"}
    return None


def refused_by(model: type[models.Model], values: dict[str, Any]) -> str:
    """The name of the rule that refuses these values; empty when none does."""
    try:
        with transaction.atomic():
            model._default_manager.create(**values)
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    except IntegrityError as error:
        return error.__cause__.diag.constraint_name or str(error)  # type: ignore[union-attr]
    return ""


@pytest.mark.parametrize(
    ("model", "name"),
    [(m, c.name) for m, c in named(models.CheckConstraint) if c.name not in ELSEWHERE],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_row_that_breaks_a_check_is_refused_by_it(model: type[models.Model], name: str):
    case = case_of(model, name)
    assert case is not None, f"say in CHECKS what breaks {name}"
    a(model)  # the control
    assert refused_by(model, values_of(model, **resolved(case))) == IMPLIED.get(name, name)


@pytest.mark.parametrize(
    ("model", "rule"),
    [(m, c) for m, c in named(models.UniqueConstraint) if c.name not in ELSEWHERE],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_same_row_twice_is_refused(model: type[models.Model], rule: models.UniqueConstraint):
    values = values_of(model, **resolved(DOUBLES.get(rule.name, {})))
    if rule.name == "crm_pipeline_one_default":
        model._default_manager.update(is_default=False)
    fields = {
        field.name
        for field in model._meta.local_concrete_fields
        if field.unique and field.name in values and not field.primary_key
    }
    assert refused_by(model, values) == ""  # the control
    again = values_of(model, **{name: value for name, value in values.items() if name not in fields})
    again |= OTHERWISE.get(rule.name, {})
    assert refused_by(model, again) == rule.name


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _approved(user: User, digest: str) -> dict[str, Any]:
    return {"approved_by": user, "approved_at": AT, "approved_sha256": digest}


def test_the_rules_that_need_more_than_one_row():
    for model in (Account, Contact, Lead):
        row = a(model)
        with pytest.raises(IntegrityError, match="not_merged_into_itself"), transaction.atomic():
            model.objects.filter(pk=row.pk).update(merged_into=row)
    opportunity = a(Opportunity)
    run("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(IntegrityError, match="crm_opportunity_state_follows_stage"), transaction.atomic():
        Opportunity.objects.filter(pk=opportunity.pk).update(state="won", closed_at=AT)
    run("SET CONSTRAINTS ALL DEFERRED")
    for target, model in (("contact", Contact), ("account", Account)):
        pair = {
            "target": target,
            "lead_a": None,
            "lead_b": None,
            f"{target}_a": a(model),
            f"{target}_b": a(model),
        }
        a(DuplicateCandidate, **pair)
        found = refused_by(DuplicateCandidate, values_of(DuplicateCandidate, **pair))
        assert found == f"crm_duplicatecandidate_{target}s_once"
    user = a(User)
    draft = values_of(FollowUp)
    draft |= _approved(user, draft["body_sha256"])
    assert refused_by(FollowUp, draft | {"state": "scheduled"}) == "crm_followup_sent_has_recipient"
    to = {"to_address": "x@example.com", "subject": "S", "body": "B"}
    digest = follow_up_hash(*to.values())
    sent = a(FollowUp, **to, **_approved(user, digest), body_sha256=digest, state="scheduled")
    mail = {"direction": "out", "state": "sent", "follow_up": sent, "to_address": "x@example.com"}
    message = values_of(Message, **mail, subject="S", text="B")
    assert refused_by(Message, message) == "crm_message_sent_has_time"
    assert refused_by(Message, message | {"sent_at": AT}) == ""


APPEND_ONLY = (AgentCall, LeadStatusChange, StageChange, ScoreOutcome, ScoreOverride, TimelineEvent)


def maintain(reason: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('gardenos.maintenance', %s, true)", [reason])


def is_refused(act: Callable[[], Any]) -> bool:
    try:
        with transaction.atomic():
            act()
    except IntegrityError as error:
        return "append-only" in str(error)
    return False


@pytest.mark.parametrize("model", APPEND_ONLY, ids=lambda model: model.__name__)
@pytest.mark.parametrize(
    ("reason", "may_delete", "may_rewrite"),
    [("", False, False), ("merge", False, False), ("undo", True, False), ("retention", True, False)],
)
def test_what_is_append_only_is_neither_rewritten_nor_deleted(
    model: Any, reason: str, may_delete: bool, may_rewrite: bool
):
    row = a(model)
    rows = model.objects.filter(pk=row.pk)
    maintain(reason)
    assert is_refused(lambda: rows.update(created_at=AT)) is not may_rewrite
    assert is_refused(rows.delete) is not may_delete


@pytest.mark.parametrize("reason", ["merge", "undo"])
def test_merge_and_undo_hang_a_row_on_another_record(reason: str):
    event, other = a(TimelineEvent), a(Lead)
    rows = TimelineEvent.objects.filter(pk=event.pk)
    maintain(reason)
    assert not is_refused(lambda: rows.update(lead=other))
    assert is_refused(lambda: rows.update(lead=event.lead, summary="forged"))
    maintain("erase")
    assert not is_refused(lambda: rows.update(summary=""))


CATALOGUE = """
    SELECT conname FROM pg_constraint c JOIN pg_class t ON t.oid = conrelid
     WHERE t.relname ~ '^(crm|ai_agents)_' AND t.relname !~ 'pghistory' AND contype IN ('c', 'u', 'x')
       AND conname !~ '_(key|check)\\d*$' AND conname !~ '_[0-9a-f]{8}_(uniq|check)$'
    UNION SELECT conname FROM pg_constraint WHERE contype = 'f' AND array_length(conkey, 1) > 1
    UNION SELECT i.relname FROM pg_index x
      JOIN pg_class i ON i.oid = indexrelid JOIN pg_class t ON t.oid = indrelid
     WHERE indisunique AND NOT indisprimary AND t.relname ~ '^(crm|ai_agents)_'
       AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.oid)
    UNION SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgname ~ '_(only|approved|sending)$'
"""


def test_every_rule_of_the_live_catalogue_has_a_case():
    with connection.cursor() as cursor:
        cursor.execute(CATALOGUE)
        live = {name for (name,) in cursor.fetchall()}
    tried = {
        rule.name for kind in (models.CheckConstraint, models.UniqueConstraint) for _m, rule in named(kind)
    }
    tried |= set(ELSEWHERE)
    tried |= {f"{model._meta.db_table}_append_only" for model in (*APPEND_ONLY, *HISTORY.values())}
    tried |= {
        f"{model._meta.db_table}_insert_only" for model in (AuditLog, AuditSeal)
    }  # tests/crm/test_audit.py
    assert live - tried == set()
