"""Two become one, and two again."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import connection, connections, models
from django.utils import timezone

from ai_agents.models import AgentTask
from crm import clock
from crm.actions.leads import add_note, update_lead
from crm.actions.merge_relations import KEPT, LIKES, MARKS, Relation, inventory, moved_relations, relations
from crm.actions.merging import merge_accounts, merge_contacts, merge_leads
from crm.actions.scores import score_by_rules
from crm.actions.unmerging import preview_undo_merge, undo_merge
from crm.errors import (
    CRMError,
    InvalidValue,
    PermissionRefused,
    TransitionRefused,
    UndoRefused,
    VersionConflict,
)
from crm.models import (
    Account,
    Actor,
    AssignmentLog,
    Attachment,
    CallLog,
    CandidateState,
    Consent,
    Contact,
    ContactPoint,
    DuplicateCandidate,
    Enrollment,
    ImportRow,
    Inquiry,
    Lead,
    LeadStatus,
    LeadStatusChange,
    MatchKey,
    MergeLog,
    Message,
    Note,
    Notification,
    Opportunity,
    Pipeline,
    ReplyTriage,
    Role,
    Score,
    ScoreOutcome,
    ScoreOverride,
    Sequence,
    Stage,
    Tag,
    Tagging,
    Task,
    TimelineEvent,
)
from tests.factories import make_admin, make_follow_up, make_import, make_lead, make_team, make_user
from tests.tables import compared_tables

SYSTEM = Actor.system()
MERGE = {Lead: merge_leads, Contact: merge_contacts, Account: merge_accounts}


def dump(*, without: frozenset[str] = frozenset({"crm_mergelog"})) -> dict[str, dict[int, str]]:
    """Every row of every compared table by id, but for `updated_at` and `version`."""
    tables = {}
    with connection.cursor() as cursor:
        for table in compared_tables():
            if table in without:
                continue
            cursor.execute(f'SELECT to_jsonb(row) FROM "{table}" AS row')
            rows = [json.loads(row) if isinstance(row, str) else row for (row,) in cursor]
            tables[table] = {
                row.get("id", index): json.dumps(
                    {name: value for name, value in row.items() if name not in {"updated_at", "version"}},
                    sort_keys=True,
                )
                for index, row in enumerate(rows)
            }
    return tables


def differences(before: dict, after: dict) -> list[str]:
    return [
        f"{table} {key}: {before[table].get(key)} -> {after[table].get(key)}"
        for table in before
        for key in before[table].keys() | after[table].keys()
        if before[table].get(key) != after[table].get(key)
    ]


def make_event(**subject: Any) -> TimelineEvent:
    return TimelineEvent.objects.create(
        kind="note.added", actor_kind="system", summary="something", **subject
    )


def make_stage() -> Stage:
    pipeline = Pipeline.objects.create(name=f"Sales {uuid4()}")
    return Stage.objects.create(pipeline=pipeline, name="First", position=1, kind="open", probability=20)


def make_opportunity(**fields: Any) -> Opportunity:
    return Opportunity.objects.create(name="Order", stage=make_stage(), **fields)


# One row for each foreign key that points at the three. A new key fails the test below until it has its line.
ROWS: dict[str, Callable[..., Any]] = {
    "ai_agents.agenttask": lambda **to: AgentTask.objects.create(
        kind="lead_analysis", dedup_key=str(uuid4()), **to
    ),
    "crm.assignmentlog": lambda **to: AssignmentLog.objects.create(reason="in turn", **to),
    "crm.attachment": lambda **to: Attachment.objects.create(
        file_name="a.pdf", stored_as=str(uuid4()), content_type="x/y", size_bytes=1, sha256="0" * 64, **to
    ),
    "crm.calllog": lambda **to: CallLog.objects.create(disposition="answered", event=make_event(**to), **to),
    "crm.consent": lambda **to: Consent.objects.create(
        norm_hash="0" * 64, purpose="news", state="given", **to
    ),
    "crm.contact": lambda **to: Contact.objects.create(full_name="Somebody", **to),
    "crm.account": lambda **to: Account.objects.create(name="Somewhere", **to),
    "crm.contactpoint": lambda **to: ContactPoint.objects.create(
        kind="url", raw="x", norm=str(uuid4()), **to
    ),
    "crm.enrollment": lambda **to: Enrollment.objects.create(
        sequence=Sequence.objects.create(name=str(uuid4())),
        number=1,
        **({"contact": Contact.objects.create(full_name="Enrolled")} | to),
    ),
    "crm.followup": lambda **to: make_follow_up(**to),
    "crm.importrow": lambda **to: ImportRow.objects.create(
        job=make_import(make_admin()), row_no=1, line_no=2, verdict="create", **to
    ),
    "crm.inquiry": lambda **to: Inquiry.objects.create(
        source=make_lead().source, channel="form", state="attached", **to
    ),
    "crm.lead": lambda **to: make_lead(**to),
    "crm.leadstatuschange": lambda **to: LeadStatusChange.objects.create(
        to_status="new", actor_kind="system", **to
    ),
    "crm.matchkey": lambda **to: MatchKey.objects.create(kind="domain", value=f"{uuid4()}.example", **to),
    "crm.message": lambda **to: Message.objects.create(
        direction="in", state="received", from_address="a@example.com", to_address="b@example.com", **to
    ),
    "crm.note": lambda **to: Note.objects.create(body="A note", event=make_event(**to), **to),
    "crm.notification": lambda **to: Notification.objects.create(
        user=make_admin(), kind="x", text="Look", dedup_key=str(uuid4()), **to
    ),
    "crm.opportunity": lambda **to: make_opportunity(**to),
    "crm.replytriage": lambda **to: ReplyTriage.objects.create(
        message=ROWS["crm.message"](**to),
        task=ROWS["ai_agents.agenttask"](**to),
        intent="question",
        step="answer",
        summary="Asks.",
        quote="ask",
        quote_start=0,
        quote_end=3,
        **to,
    ),
    "crm.score": lambda **to: Score.objects.create(
        kind="rules", value=40, band="cool", is_current=False, **to
    ),
    "crm.scoreoutcome": lambda **to: ScoreOutcome.objects.create(
        score=ROWS["crm.score"](**to), label="won", horizon_days=90, **to
    ),
    "crm.scoreoverride": lambda **to: ScoreOverride.objects.create(
        user=make_admin(), value=3, reason="I know them", **to
    ),
    "crm.tagging": lambda **to: Tagging.objects.create(tag=Tag.objects.create(name=str(uuid4())), **to),
    "crm.task": lambda **to: Task.objects.create(title="Call", **to),
    "crm.timelineevent": make_event,
}


def make(model: type[models.Model], name: str = "", **fields: Any) -> Any:
    if model is Lead:
        return make_lead(**({"name": name} if name else {}), **fields)
    if model is Contact:
        return Contact.objects.create(full_name=name or "Ada Lane", search_text=name.lower(), **fields)
    return Account.objects.create(name=name or "Lane Ltd", search_text=name.lower(), **fields)


def hang(relation: Relation, record: Any) -> Any:
    return ROWS[relation.label](**{relation.name: record})


# --- completeness -------------------------------------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize("model", [Lead, Contact, Account])
def test_every_foreign_key_is_moved_or_named_as_an_exception(model: type[models.Model]):
    winner, loser = make(model), make(model)
    for relation in moved_relations(model):
        hang(relation, loser)
    assert set(inventory(model, loser.pk)) == {relation.path for relation in moved_relations(model)}
    before = dump()
    log = MERGE[model](winner.pk, loser.pk, by=SYSTEM)
    left = {path for path, ids in inventory(model, loser.pk).items() if ids}
    assert left == set()
    moved = {f"{label}.{name}" for label, names in log.moved.items() for name in names}
    assert moved == {relation.path for relation in moved_relations(model)}
    undo_merge(log.pk, by=SYSTEM)
    assert differences(before, dump()) == []


def test_exceptions_name_keys_that_exist_and_a_reason():
    known = {relation.path for model in MERGE for relation in relations(model)}
    assert set(KEPT) <= known
    assert all(KEPT.values())


@pytest.mark.parametrize("model", [Lead, Contact, Account])
def test_a_foreign_key_under_a_unique_rule_says_what_happens_to_the_loser_s_row(model: type[models.Model]):
    for relation in moved_relations(model):
        unique = list(relation.model._meta.total_unique_constraints)
        unique += [
            rule for rule in relation.model._meta.constraints if isinstance(rule, models.UniqueConstraint)
        ]
        is_one = relation.model._meta.get_field(relation.name).unique
        if is_one or any(relation.name in rule.fields for rule in unique):
            assert relation.label in LIKES or relation.label in MARKS, relation.path


# --- merge and undo -----------------------------------------------------------------------------------------
def two_leads_with_everything() -> tuple[Lead, Lead, Lead]:
    """A winner and a loser with clashing and other rows, and a third lead that is a candidate to both."""
    boss = make_admin()
    winner = make_lead(
        name="Ada Lane", email="ada@example.com", phone="+442079460018", message="A garden?", owner=boss
    )
    loser = make_lead(
        name="A. Lane",
        company="Lane Ltd",
        email="ada.lane@example.org",
        message="A pond?",
        status=LeadStatus.WORKING,
        est_value="1200.50",
        custom={"size": "big"},
        attempts=3,
        created_at=timezone.now() - timedelta(days=9),
    )
    third = make_lead(name="Ada Layne")
    Lead.objects.filter(pk=loser.pk).update(created_at=timezone.now() - timedelta(days=9))
    ContactPoint.objects.create(lead=loser, kind="email", raw="ADA@example.com", norm="ada@example.com")
    MatchKey.objects.create(lead=loser, kind="email", value="ada@example.com")
    tag = Tag.objects.create(name="Trees")
    for lead in (winner, loser):
        Tagging.objects.create(tag=tag, lead=lead)
        score_by_rules(lead.pk)
        a, b = sorted((lead.pk, third.pk))
        DuplicateCandidate.objects.create(lead_a_id=a, lead_b_id=b, score=70)
    a, b = sorted((winner.pk, loser.pk))
    DuplicateCandidate.objects.create(lead_a_id=a, lead_b_id=b, score=90)
    add_note(loser.pk, by=Actor.of(boss), body="Likes roses.")
    for relation in moved_relations(Lead):
        hang(relation, winner)
        hang(relation, loser)
    return winner, loser, third


@pytest.mark.django_db
def test_merge_then_undo_leaves_every_table_as_it_was():
    winner, loser, _third = two_leads_with_everything()
    before = dump()
    log = merge_leads(winner.pk, loser.pk, by=SYSTEM, values={"company": "loser", "email": "loser"})
    assert len(differences(before, dump())) > 30
    assert not preview_undo_merge(log.pk, by=SYSTEM).kept
    result = undo_merge(log.public_id, by=SYSTEM)
    assert differences(before, dump()) == []
    assert not result.kept


@pytest.mark.django_db
def test_the_winner_has_the_best_of_both():
    winner, loser, third = two_leads_with_everything()
    events_before = winner.timeline.count() + loser.timeline.count()
    merge_leads(winner.pk, loser.pk, by=SYSTEM, values={"email": "loser", "interest": "Roses"}, reason="same")
    lead = Lead.objects.get(pk=winner.pk)
    assert (lead.name, lead.company, lead.interest) == ("Ada Lane", "Lane Ltd", "Roses")
    assert str(lead.est_value) == "1200.50"
    assert lead.custom == {"size": "big"}
    assert (lead.attempts, lead.status) == (3, LeadStatus.WORKING)
    assert lead.created_at == Lead.objects.get(pk=loser.pk).created_at
    assert {"ada", "lane", "a.", "ada.lane@example.org"} <= set(lead.search_text.split())
    points = lead.contact_points.filter(kind="email")
    assert sorted(points.values_list("norm", flat=True)) == ["ada.lane@example.org", "ada@example.com"]
    assert points.get(is_primary=True).norm == "ada.lane@example.org"
    assert lead.taggings.filter(tag__name="Trees").count() == 1
    assert set(lead.match_keys.values_list("value", flat=True)) >= {"ada@example.com", "ada.lane@example.org"}
    assert lead.scores.filter(is_current=True, kind="rules").count() == 1
    assert lead.timeline.filter(kind="lead.merged").count() == 1
    assert lead.timeline.count() >= events_before + 1
    pairs = DuplicateCandidate.objects.order_by("score")
    assert [(pair.score, pair.state) for pair in pairs] == [(70, "open"), (90, CandidateState.MERGED)]
    assert {pairs[0].lead_a_id, pairs[0].lead_b_id} == {winner.pk, third.pk}
    assert Lead.objects.get(pk=loser.pk).merged_into_id == winner.pk
    assert loser not in Lead.objects.live()


@pytest.mark.django_db
def test_what_came_after_the_merge_stays_with_the_winner_and_is_named():
    boss = Actor.of(make_admin())
    winner, loser = make_lead(name="Ada", email="a@example.com"), make_lead(name="Eda", company="Lane Ltd")
    log = merge_leads(winner.pk, loser.pk, by=boss)
    update_lead(winner.pk, by=boss, company="Lane & Sons", email="new@example.com")
    add_note(winner.pk, by=boss, body="After the merge.")
    said = preview_undo_merge(log.pk, by=boss).kept
    result = undo_merge(log.pk, by=boss)
    assert result.kept == said
    assert any("company" in line for line in said)
    assert any("note" in line for line in said)
    lead = Lead.objects.get(pk=winner.pk)
    assert lead.company == "Lane & Sons"
    assert lead.notes.count() == 1
    assert Lead.objects.live().filter(pk=loser.pk).exists()


@pytest.mark.django_db
def test_match_keys_come_back_after_the_winner_was_edited():
    boss = Actor.of(make_admin())
    winner, loser = make_lead(email="a@example.com"), make_lead(email="b@example.com")
    log = merge_leads(winner.pk, loser.pk, by=boss)
    update_lead(winner.pk, by=boss, phone="+442079460018")  # rebuilds all match keys
    undo_merge(log.pk, by=boss)
    assert ("email", "b@example.com") in loser.match_keys.values_list("kind", "value")
    assert ("email", "b@example.com") not in winner.match_keys.values_list("kind", "value")


@pytest.mark.django_db
def test_contacts_and_accounts_merge_and_part_again():
    one, two = (
        make(Account, "Lane Ltd", domain="lane.example"),
        make(Account, "Lane Limited", industry="Gardens"),
    )
    ada, eda = (
        make(Contact, "Ada Lane", account=one),
        make(Contact, "Eda Lane", account=two, do_not_contact=True),
    )
    for contact in (ada, eda):
        ContactPoint.objects.create(
            contact=contact, kind="email", raw="x", norm="x@example.com", is_primary=True
        )
        Enrollment.objects.create(
            sequence=Sequence.objects.create(name=str(contact)), number=1, contact=contact
        )
    before = dump()
    people = merge_contacts(ada.pk, eda.pk, by=SYSTEM, values={"full_name": "loser"})
    firms = merge_accounts(one.pk, two.pk, by=SYSTEM)
    ada.refresh_from_db()
    one.refresh_from_db()
    assert (ada.full_name, ada.do_not_contact, ada.contact_points.count()) == ("Eda Lane", True, 1)
    assert ada.enrollments.filter(state="active").count() == 1
    assert (one.name, one.industry) == ("Lane Ltd", "Gardens")
    undo_merge(firms.pk, by=SYSTEM)
    undo_merge(people.pk, by=SYSTEM)
    assert differences(before, dump()) == []


# --- refusals -----------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_a_merge_that_makes_no_sense_is_refused_and_changes_nothing():
    boss = Actor.of(make_admin())
    lead, other = make_lead(), make_lead()
    gone = make_lead(deleted_at=timezone.now())
    merged = make_lead(merged_into=other)
    converted = make_lead(status=LeadStatus.CONVERTED, converted_at=timezone.now())
    lost = make_lead(status=LeadStatus.DISQUALIFIED, disqualify_reason="no budget")
    before = dump()
    cases: list[tuple[type[Exception], tuple[int, int], dict[str, Any]]] = [
        (InvalidValue, (lead.pk, lead.pk), {}),
        (Lead.DoesNotExist, (lead.pk, 2**40), {}),
        (TransitionRefused, (lead.pk, gone.pk), {}),
        (TransitionRefused, (lead.pk, merged.pk), {}),
        (TransitionRefused, (lead.pk, converted.pk), {}),
        (TransitionRefused, (lost.pk, lead.pk), {}),
        (VersionConflict, (lead.pk, other.pk), {"versions": {"winner": 1, "loser": 7}}),
        (InvalidValue, (lead.pk, other.pk), {"values": {"nonsense": "loser"}}),
        (InvalidValue, (lead.pk, other.pk), {"values": {"name": ""}}),
        (InvalidValue, (lead.pk, other.pk), {"values": {"name": "x" * 201}}),
        (InvalidValue, (lead.pk, other.pk), {"values": {"owner": "me"}}),
        (InvalidValue, (lead.pk, other.pk), {"values": {"email": "new@example.com"}}),
        (InvalidValue, (lead.pk, other.pk), {"values": {"est_value": "-1"}}),
        (InvalidValue, (lead.pk, other.pk), {"values": {"company": "a\0b"}}),
        (InvalidValue, (lead.pk, other.pk), {"reason": "x" * 301}),
    ]
    for error, pair, more in cases:
        with pytest.raises(error):
            merge_leads(*pair, by=boss, **more)
    assert differences(before, dump()) == []
    assert merge_leads(lead.pk, lost.pk, by=boss)  # the positive control


@pytest.mark.django_db
def test_both_leads_must_be_mine_to_change():
    team = make_team()
    rep, mate = make_user(team=team), make_user(team=team)
    mine, pool, theirs = (
        make_lead(owner=rep, team=team),
        make_lead(team=team),
        make_lead(owner=mate, team=team),
    )
    with pytest.raises(PermissionRefused):
        merge_leads(mine.pk, pool.pk, by=Actor.of(rep))
    with pytest.raises(Lead.DoesNotExist):
        merge_leads(mine.pk, theirs.pk, by=Actor.of(rep))
    log = merge_leads(mine.pk, theirs.pk, by=Actor.of(make_user(Role.MANAGER, team=team)))
    with pytest.raises(MergeLog.DoesNotExist):
        undo_merge(log.pk, by=Actor.of(rep))


@pytest.mark.django_db
def test_undo_is_refused_with_the_reason_when_it_is_too_late_done_or_merged_again():
    one, two, three = make_lead(name="One"), make_lead(name="Two"), make_lead(name="Three")
    first = merge_leads(one.pk, two.pk, by=SYSTEM)
    second = merge_leads(three.pk, one.pk, by=SYSTEM)
    with pytest.raises(UndoRefused, match="Three"):
        undo_merge(first.pk, by=SYSTEM)
    undo_merge(second.pk, by=SYSTEM)
    with pytest.raises(UndoRefused, match="already"):
        undo_merge(second.pk, by=SYSTEM)
    with clock.frozen(timezone.now() + timedelta(days=8)):
        with pytest.raises(UndoRefused, match="seven days"):
            undo_merge(first.pk, by=SYSTEM)
    later = merge_leads(one.pk, three.pk, by=SYSTEM)
    with pytest.raises(UndoRefused, match="Three"):
        undo_merge(first.pk, by=SYSTEM)
    undo_merge(later.pk, by=SYSTEM)
    undo_merge(first.pk, by=SYSTEM)
    for unknown in (2**40, uuid4(), "nonsense"):
        with pytest.raises(MergeLog.DoesNotExist):
            undo_merge(unknown, by=SYSTEM)


# --- side by side -------------------------------------------------------------------------------------------
def at_once(jobs: list[Callable[[], Any]]) -> list[Any]:
    """Run all in threads of their own; their results or the errors they raised."""
    start, results = threading.Barrier(len(jobs)), [None] * len(jobs)

    def run(index: int) -> None:
        try:
            start.wait(60)
            results[index] = jobs[index]()
        except Exception as error:
            results[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
def test_of_fifty_merges_of_one_lead_exactly_one_wins():
    loser = make_lead(email="ada@example.com", message="A garden?")
    winners = [make_lead(email=f"w{n}@example.com") for n in range(50)]
    jobs = [lambda pk=winner.pk: merge_leads(pk, loser.pk, by=SYSTEM) for winner in winners]
    results = at_once(jobs)
    done = [result for result in results if isinstance(result, MergeLog)]
    assert len(done) == 1
    assert all(isinstance(result, (MergeLog, TransitionRefused)) for result in results)
    assert MergeLog.objects.count() == 1
    assert Lead.objects.get(pk=loser.pk).merged_into_id == done[0].winner_lead_id
    assert Inquiry.objects.get().lead_id == done[0].winner_lead_id


@pytest.mark.django_db(transaction=True)
def test_merges_crosswise_leave_one_lead_and_never_a_deadlock():
    leads = [make_lead(email=f"l{n}@example.com") for n in range(6)]
    pairs = [(a.pk, b.pk) for a in leads for b in leads if a != b]
    results = at_once([lambda pair=pair: merge_leads(*pair, by=SYSTEM) for pair in pairs])
    assert all(isinstance(result, (MergeLog, CRMError)) for result in results), results
    assert Lead.objects.live().count() == 1
    assert MergeLog.objects.count() == 5
    assert ContactPoint.objects.filter(lead=Lead.objects.live().get()).count() == 6


def test_the_models_named_here_exist():
    for label in (*LIKES, *MARKS):
        assert apps.get_model(label)
