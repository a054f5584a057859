"""A bulk act and the action for one record, called for each, leave the same tables, and so do their undos."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ObjectDoesNotExist
from django.db import connection, transaction

from crm import clock
from crm.actions.base import undo
from crm.actions.bulk import start_bulk
from crm.actions.bulk_running import advance_bulk
from crm.actions.leads import assign_lead, disqualify_lead, snooze_lead, update_lead
from crm.actions.opportunities import assign_opportunity, create_opportunity, update_opportunity
from crm.actions.opportunity_moves import lose_opportunity, move_opportunity
from crm.actions.pipelines import default_pipeline
from crm.actions.tags import tag_record, untag_record
from crm.errors import CRMError
from crm.models import (
    Account,
    Actor,
    BulkRow,
    Lead,
    LeadStatus,
    NextActionKind,
    Opportunity,
    Stage,
    Tag,
    Tagging,
    User,
    acting_as,
)
from tests.factories import make_admin, make_follow_up, make_lead, make_team, make_user
from tests.tables import compared_tables

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system()
# of which transaction, and of rows that both ways make anew
LEFT_OUT = {
    "id",
    "public_id",
    "created_at",
    "updated_at",
    "pgh_id",
    "pgh_created_at",
    "score_id",
    "xid",
    "at",
    "expires_at",
    "undone_at",
}
TOO = ("crm_undo", "crm_outboxevent", "crm_pghistory_lead", "crm_pghistory_opportunity")


class World:
    """Leads and cards in every state that matters, of people near and far."""

    def __init__(self, noon: datetime) -> None:
        self.team, other = make_team(), make_team()
        self.rep, self.mate = make_user(team=self.team), make_user(team=self.team)
        self.manager, self.admin = make_user("manager", team=self.team), make_admin()
        self.tag = Tag.objects.create(name="VIP")
        many = [Tag(name=f"T{n}") for n in range(30)]
        Tag.objects.bulk_create(many)
        asleep = {
            "status": LeadStatus.NURTURING,
            "snoozed_until": noon + timedelta(days=2),
            "next_action_at": noon + timedelta(days=2),
            "next_action_kind": NextActionKind.CALL,
        }
        closed: dict[str, Any] = {"status": LeadStatus.DISQUALIFIED, "disqualify_reason": "no budget"}
        won: dict[str, Any] = {"status": LeadStatus.CONVERTED, "converted_at": noon}
        self.leads = [
            make_lead(owner=owner, team=team, status_changed_at=noon - timedelta(hours=3), **state)
            for owner, team in (
                (self.rep, self.team),
                (self.mate, self.team),
                (None, self.team),
                (None, None),
                (make_user(team=other), other),
            )
            for state in (
                {},
                won,
                *([{"status": LeadStatus.WORKING}, asleep, closed] if owner == self.rep else []),
            )
        ]
        self.leads.append(make_lead(owner=self.rep, team=self.team, deleted_at=noon))
        full, tagged, drafted = self.leads[:3]
        Tagging.objects.bulk_create([Tagging(tag=tag, lead=full) for tag in many])
        for lead in (tagged, drafted, self.leads[3], self.leads[5]):
            Tagging.objects.create(tag=self.tag, lead=lead)
        make_follow_up(drafted, body=f"Hello\n\n{self.rep.name}")
        self.stages = list(default_pipeline().stages.filter(kind="open").order_by("position"))
        Stage.objects.filter(pk=self.stages[0].pk).update(exit_rules=["amount"], wip_limit=4)
        Stage.objects.filter(pk=self.stages[2].pk).update(wip_limit=2)
        account = Account.objects.create(name="Fern & Co", owner=self.rep, team=self.team)
        self.cards = [
            create_opportunity(
                by=SYSTEM,
                name=f"C{n}",
                owner=owner,
                team=team,
                lead=lead,
                stage=stage,
                amount=amount,
                account=org,
            )
            for n, (owner, team, lead, stage, amount, org) in enumerate(
                [
                    (self.rep, self.team, full, self.stages[0], 100, account),
                    (self.rep, self.team, tagged, self.stages[0], None, None),
                    (self.rep, self.team, None, self.stages[1], 5, account),
                    (self.rep, self.team, None, self.stages[1], 5, None),
                    (self.mate, self.team, None, self.stages[0], 7, None),
                    (None, self.team, None, self.stages[0], 7, None),
                    (None, None, None, self.stages[0], 7, None),
                    (None, other, None, self.stages[0], 7, None),
                    (self.rep, self.team, None, self.stages[1], 9, None),
                ]
            )
        ]
        lose_opportunity(self.cards[-1].pk, by=SYSTEM, reason="price")


@contextmanager
def taken_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def tables() -> list[tuple[str, str]]:
    """Every row of every table, without LEFT_OUT. One query."""
    rows = " UNION ALL ".join(
        f"SELECT '{table}', (to_jsonb(t) - %(left_out)s::text[])::text FROM \"{table}\" t"
        for table in (*compared_tables(), *TOO)
    )
    with connection.cursor() as cursor:
        cursor.execute(f"{rows} ORDER BY 1, 2", {"left_out": sorted(LEFT_OUT)})
        return [
            row for row in cursor.fetchall() if '"action": "bulk"' not in row[1] and '"job.' not in row[1]
        ]


def differences(one: list[tuple[str, str]], many: list[tuple[str, str]]) -> dict[str, Any]:
    there, here = Counter(one), Counter(many)
    return {"one by one": [*(there - here)], "bulk": [*(here - there)]} if there != here else {}


Ways = tuple[list[tuple[str, str]], list[tuple[str, str]], int]


def one_by_one(
    records: list[Any], act: Callable[..., Any], by: User, meanwhile: Callable[[Any], Any], **values: Any
) -> Ways:
    offers = []
    for record in records:
        try:
            with transaction.atomic():
                done = act(record.pk, by=Actor.of(by), **values)
        except (CRMError, ObjectDoesNotExist):
            continue
        if done.undo_offer:
            offers.append((record, done.undo_offer))
    after = tables()
    meanwhile(offers[-1][0])
    for _record, offer in offers:
        try:
            with transaction.atomic():
                undo(offer.public_id, by=Actor.of(by))
        except (CRMError, ObjectDoesNotExist):
            pass
    return after, tables(), len(offers)


def in_bulk(
    records: list[Any], act: str, target: str, by: User, meanwhile: Callable[[Any], Any], **values: Any
) -> Ways:
    job = start_bulk(act, target=target, by=Actor.of(by), ids=[one.public_id for one in records], **values)
    assert not advance_bulk(job.pk, seconds=60)
    after = tables()
    changed = list(BulkRow.objects.filter(state="changed").order_by("record_id"))
    meanwhile(next(one for one in records if one.pk == changed[-1].record_id))
    undo(job.undo_offer.public_id, by=Actor.of(by))
    assert not advance_bulk(job.pk, seconds=60)
    return after, tables(), len(changed)


def test_one_by_one_and_in_bulk_are_twins(noon):
    with clock.frozen(noon):
        world = World(noon)
    later = noon + timedelta(days=5)

    def tag_one(target: str) -> Callable[..., Any]:
        return lambda key, **values: tag_record(target, key, **values)

    def untag_one(key: int, **values: Any) -> Any:
        return untag_record("lead", key, **values)

    def change_lead(lead: Lead) -> Any:
        return update_lead(lead.pk, by=SYSTEM, company="Moved on Ltd")

    def change_card(card: Opportunity) -> Any:
        return update_opportunity(card.pk, by=SYSTEM, name="Moved on")

    acts: list[tuple[str, str, Callable[..., Any], dict[str, Any]]] = [
        ("assign", "lead", assign_lead, {"owner": world.rep}),
        ("assign", "lead", assign_lead, {"owner": None}),
        ("snooze", "lead", snooze_lead, {"until": later, "reason": "back from leave"}),
        ("disqualify", "lead", disqualify_lead, {"reason": "wrong number"}),
        ("tag", "lead", tag_one("lead"), {"tag": world.tag}),
        ("untag", "lead", untag_one, {"tag": world.tag}),
        ("assign", "opportunity", assign_opportunity, {"owner": world.rep}),
        ("tag", "opportunity", tag_one("opportunity"), {"tag": world.tag}),
        ("stage", "opportunity", move_opportunity, {"stage": world.stages[2]}),
    ]
    some = (acts[1], acts[3], acts[-1])
    for by, theirs in ((world.admin, acts), (world.manager, some), (world.rep, some)):
        for act, target, single, values in theirs:
            records: list[Any] = world.leads if target == "lead" else world.cards
            change = change_lead if target == "lead" else change_card
            with clock.frozen(noon + timedelta(hours=1)), acting_as(Actor.of(by)):
                with taken_back():
                    one = one_by_one(records, single, by, change, **values)
                with taken_back():
                    many = in_bulk(records, act, target, by, change, **values)
            what = (by.role, act, target, one[2])
            assert one[2] == many[2] >= 1, what
            for stage in (0, 1):
                found = differences(one[stage], many[stage])
                assert not found, (what, stage, found)
