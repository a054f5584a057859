"""Summaries that triggers keep: equal to a count by hand, whatever wrote."""

import json
import random
from collections.abc import Callable
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from crm.actions.base import undo
from crm.actions.counts import fold_dashboard_counts, recount_dashboard
from crm.actions.opportunities import (
    assign_opportunity,
    create_opportunity,
    delete_opportunity,
    restore_opportunity,
    update_opportunity,
)
from crm.actions.opportunity_moves import lose_opportunity, move_opportunity, win_opportunity
from crm.actions.pipelines import default_pipeline
from crm.figures.dashboard import counts
from crm.models import DashboardCount, Lead, Opportunity, Role
from tests.factories import actor, make_admin, make_lead, make_source, make_team, make_user

pytestmark = pytest.mark.django_db
BY_HAND = """
    SELECT 'lead', status, owner_id, team_id, source_id, NULL::bigint, currency, count(*),
           coalesce(sum(est_value), 0)
      FROM crm_lead WHERE deleted_at IS NULL AND merged_into_id IS NULL GROUP BY 2, 3, 4, 5, 7
     UNION ALL
    SELECT 'opportunity', state, owner_id, team_id, source_id, stage_id, currency, count(*),
           coalesce(sum(amount), 0)
      FROM crm_opportunity WHERE deleted_at IS NULL GROUP BY 2, 3, 4, 5, 6, 7
"""
SUMMED = """
    SELECT subject, status, owner_id, team_id, source_id, stage_id, currency, sum(n), sum(amount)
      FROM crm_dashboardcount GROUP BY 1, 2, 3, 4, 5, 6, 7 HAVING sum(n) <> 0 OR sum(amount) <> 0
"""


def ask(statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return sorted(cursor.fetchall(), key=repr) if cursor.description else []


def are_true() -> bool:
    return ask(BY_HAND) == ask(SUMMED)


def test_after_random_writes_every_count_is_what_a_count_by_hand_says():
    chance = random.Random(7)
    team, admin = make_team(), make_admin()
    people = [make_user(team=team), make_user(team=team), None]
    sources = [make_source("a"), make_source("b")]
    stages = list(default_pipeline().stages.filter(kind="open"))
    leads = [make_lead(source=chance.choice(sources), est_value=nr, team=team) for nr in range(20)]
    cards: list[Opportunity] = []
    by = actor(admin)
    for _write in range(150):
        lead, luck = chance.choice(leads), chance.random()
        card = chance.choice(cards) if cards else None
        if card is None or luck < 0.2:
            cards.append(create_opportunity(by=by, name="Hedge", lead=lead, amount=chance.randrange(900)))
            continue
        card.refresh_from_db()
        if luck < 0.4:
            lead.owner, lead.est_value = chance.choice(people), chance.choice([None, Decimal("9.99")])
            lead.status = chance.choice(["new", "working"])
            lead.save()
        elif card.deleted_at:
            restore_opportunity(card.pk, by=by)
        elif not card.is_open:
            assign_opportunity(card.pk, by=by, owner=chance.choice(people))
        elif luck < 0.6:
            done = move_opportunity(card.pk, by=by, stage=chance.choice(stages))
            if done.undo_offer and chance.random() < 0.5:
                undo(done.undo_offer.public_id, by=by)
        elif luck < 0.7:
            update_opportunity(card.pk, by=by, currency=chance.choice(["EUR", "GBP"]), amount=5)
        elif luck < 0.8:
            delete_opportunity(card.pk, by=by)
        elif luck < 0.9:
            win_opportunity(card.pk, by=by)
        else:
            lose_opportunity(card.pk, by=by, reason="silent")
    assert are_true()
    assert recount_dashboard() == []
    assert fold_dashboard_counts() > 50
    assert are_true()
    assert DashboardCount.objects.count() == len(ask(BY_HAND))
    assert fold_dashboard_counts() == 0


def test_copy_and_sets_merges_and_deletes_are_counted_as_well():
    source, winner = make_source("file"), make_lead()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO crm_lead (public_id, created_at, updated_at, version, name, company, title, kind,
                mailing_address, physical_address, country, interest, currency, status, status_changed_at,
                disqualify_reason, outcome, outcome_from, source_id, next_action_kind, attempts, max_attempts,
                score_source, is_ai_off, custom, search_text, est_value)
            SELECT gen_random_uuid(), now(), now(), 1, 'Lead ' || nr, '', '', 'person', '', '', '', '',
                CASE WHEN nr %% 2 = 0 THEN 'EUR' ELSE 'GBP' END, 'new', now(), '', 'unknown', '', %s, '',
                0, 6, '', false, '{}', '', nr
              FROM generate_series(1, 500) nr
            """,
            [source.pk],
        )
    assert are_true()
    assert DashboardCount.objects.filter(source_id=source.pk).count() == 2, "one row a group, not a lead"
    Lead.objects.filter(source=source, name__endswith="7").update(merged_into=winner)
    assert are_true()
    Lead.objects.filter(merged_into=winner).update(merged_into=None)
    Lead.objects.filter(source=source, name__endswith="3").update(status="working", est_value=None)
    Lead.objects.filter(source=source, name__endswith="5").delete()
    assert are_true()
    with transaction.atomic():
        Lead.objects.filter(source=source).update(status="working")
        transaction.set_rollback(True)
    assert are_true()


def test_a_change_that_no_count_knows_adds_no_row():
    make_lead()
    before = DashboardCount.objects.count()
    Lead.objects.update(score=9, score_source="rules", name="Changed")
    assert DashboardCount.objects.count() == before
    Lead.objects.filter(name="nobody").update(status="working")
    assert DashboardCount.objects.count() == before


@pytest.mark.parametrize("role", [*Role, "inactive"])
def test_everybody_counts_what_they_may_see_in_one_statement(
    role: str, django_assert_max_num_queries: Callable[..., Any]
):
    ours, theirs = make_team(), make_team()
    who = make_user(Role.MANAGER if role == "inactive" else Role(role), team=ours)
    mate = make_user(team=ours)
    for owner, team in (
        (who, ours),
        (mate, ours),
        (None, ours),
        (None, theirs),
        (make_user(), theirs),
        (None, None),
    ):
        make_lead(owner=owner, team=team, est_value=3)
        create_opportunity(by=actor(make_admin()), name="Hedge", owner=owner, team=team, amount=5)
    Opportunity.objects.filter(owner__role="admin").update(owner=None)
    if role == "inactive":
        who.is_active = False
        who.save()
    for subject, model in (("lead", Lead), ("opportunity", Opportunity)):
        with django_assert_max_num_queries(1):
            found = counts(who, subject)
        expected = model.objects.visible_to(who).count()
        assert sum(row.n for row in found) == expected
    by_owner = {row.group["owner_id"]: row.n for row in counts(who, "lead", "owner_id", status="new")}
    assert by_owner.get(mate.pk, 0) == Lead.objects.visible_to(who).filter(owner=mate).count()
    for row in counts(who, "opportunity"):
        assert row.amounts == {"EUR": Decimal(5 * row.n)}


def test_a_wrong_count_is_corrected_and_named():
    make_lead(est_value=7)
    out = StringIO()
    call_command("recount_dashboard", stdout=out)
    assert "All counts were right" in out.getvalue()
    DashboardCount.objects.filter(subject="lead").update(n=5)
    out = StringIO()
    with pytest.raises(CommandError, match="1 counts were wrong") as failed:
        call_command("recount_dashboard", "--json", stdout=out)
    assert failed.value.returncode == 1
    (row,) = json.loads(out.getvalue())
    assert (row["subject"], row["status"], row["n"], row["amount"]) == ("lead", "new", -4, "0.00")
    assert are_true()
