"""Each figure equals what a person would compute by hand in SQL, for everybody within what they may see."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_django
from django.db import connection

from crm import clock
from crm.actions.exchange_rates import set_exchange_rate
from crm.actions.opportunities import create_opportunity
from crm.actions.opportunity_moves import (
    lose_opportunity,
    move_opportunity,
    reopen_opportunity,
    win_opportunity,
)
from crm.actions.pipelines import default_pipeline
from crm.figures.board import board
from crm.figures.discipline import first_answers, follow_up_discipline, workload
from crm.figures.money import total_closed
from crm.figures.pipeline import forecast, funnel, won_by_month
from crm.figures.scope import Period
from crm.figures.sources import by_source, by_utm, cost_of
from crm.models import (
    Actor,
    CallLog,
    Inquiry,
    Lead,
    Message,
    Opportunity,
    Role,
    Task,
    TimelineEvent,
    User,
)
from tests.factories import actor, make_admin, make_follow_up, make_lead, make_source, make_team, make_user

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
PERIOD = Period(START, START + timedelta(days=40))
ROLES = ("admin", "manager", "rep", "reader", "gone")


class World:
    """Two teams, sixty leads in three sources, forty opportunities that moved about for forty days."""

    def __init__(self) -> None:
        chance = random.Random(4)
        ours, theirs = make_team(), make_team()
        self.people: dict[str, User] = {
            "admin": make_admin(),
            "manager": make_user(Role.MANAGER, team=ours),
            "rep": make_user(team=ours),
            "reader": make_user(Role.READ_ONLY, team=ours),
            "gone": make_user(Role.MANAGER, team=ours, is_active=False),
        }
        owners = [(self.people["rep"], ours), (make_user(team=ours), ours), (None, ours)]
        owners += [(make_user(team=theirs), theirs)]
        sources = [
            make_source(f"s{n}", monthly_cost=cost) for n, cost in enumerate(("310.00", None, "90.00"))
        ]
        self.pipeline = default_pipeline()
        self.open = list(self.pipeline.stages.filter(kind="open").order_by("position"))
        admin = Actor.system()
        for nr in range(60):
            owner, team = chance.choice(owners)
            at = START + timedelta(hours=chance.randrange(24 * 39))
            with clock.frozen(at):
                lead = make_lead(source=chance.choice(sources), owner=owner, team=team)
                Lead.objects.filter(pk=lead.pk).update(
                    created_at=at,
                    next_action_at=at + timedelta(days=3) if nr % 3 else None,
                    next_action_kind="call" if nr % 3 else "",
                )
                utm = {"utm_source": "search", "utm_campaign": f"c{nr % 4}"} if nr % 2 else {}
                Inquiry.objects.create(
                    source=lead.source, channel="form", lead=lead, utm=utm, received_at=at, state="created"
                )
                if nr % 5 < 3:
                    wait = timedelta(minutes=chance.randrange(600))
                    event = TimelineEvent.objects.create(
                        lead=lead, kind="call.logged", summary="called", actor_kind="user"
                    )
                    CallLog.objects.create(
                        lead=lead, disposition="answered", occurred_at=at + wait, event=event, direction="out"
                    )
                if nr % 4 == 0:
                    Task.objects.create(title="Call", lead=lead, assignee=owner)
            if nr < 40:
                self._walk(chance, lead, at, admin)
        for nr, lead in enumerate(Lead.objects.order_by("pk")):
            self._more(nr, lead)

    def _more(self, nr: int, lead: Lead) -> None:
        """What must not count for what it resembles: spam, drafts, missed calls, done tasks, later asks."""
        came = lead.inquiries.get().received_at
        if nr % 7 < 2:
            Lead.objects.filter(pk=lead.pk).update(status="converted", converted_at=came + timedelta(days=2))
        if nr % 6 == 1:  # the first inquiry counts, not a later one from elsewhere
            utm = {"utm_source": "news", "utm_medium": "mail", "utm_campaign": "spring"}
            day, channel = timedelta(days=1), "email"
            asked = {"channel": channel, "utm": utm, "received_at": came + (day if nr % 12 == 1 else -day)}
            Inquiry.objects.create(source=lead.source, lead=lead, state="attached", **asked)
        if nr % 20 == 11:
            lead.inquiries.update(state="spam")
        if nr % 5 == 2:  # before what they asked, and no question
            at = came - timedelta(hours=3)
            Inquiry.objects.create(
                source=lead.source, channel="form", lead=lead, received_at=at, state="spam"
            )
        for state in {0: ("sent",), 1: ("failed",), 2: ("queued", "sent")}.get(nr % 8, ()):
            draft = make_follow_up(lead, state="scheduled", approved_by=self.people["rep"], approved_at=came)
            sent_at = came + timedelta(minutes=37 * (nr % 11)) if state == "sent" else None
            bytes_ = {"to_address": draft.to_address, "subject": draft.subject, "text": draft.body}
            Message.objects.create(
                lead=lead, direction="out", state=state, sent_at=sent_at, follow_up=draft, **bytes_
            )
        if nr % 3 == 1:  # rang, and nobody was there; or they rang us
            event = TimelineEvent.objects.create(
                lead=lead, kind="call.logged", summary="called", actor_kind="user"
            )
            kind = ("no_answer", "out") if nr % 2 else ("answered", "in")
            CallLog.objects.create(
                lead=lead, disposition=kind[0], direction=kind[1], occurred_at=came, event=event
            )
        if nr % 9 == 0:
            assignee = self.people["rep"] if nr % 2 else lead.owner
            done = {"state": "done", "done_at": came}
            Task.objects.create(title="Done", lead=lead, assignee=assignee, **done)
            Task.objects.create(title="Open", lead=lead, assignee=assignee)

    def _walk(self, chance: random.Random, lead: Lead, at: datetime, by: Actor) -> None:
        with clock.frozen(at + timedelta(hours=1)):
            card = create_opportunity(
                by=by,
                name="A garden",
                lead=lead,
                owner=lead.owner,
                team=lead.team,
                amount=Decimal(chance.randrange(100_000)) / 100 if chance.random() < 0.9 else None,
                currency=chance.choice(["EUR", "EUR", "GBP", "USD"]),
                forecast=chance.choice(["pipeline", "commit", "best_case"]),
                probability_override=chance.choice([None, None, 33]),
                expected_close=(at + timedelta(days=chance.randrange(90))).date(),
            )
            Opportunity.objects.filter(pk=card.pk).update(created_at=clock.now())
        for step in range(chance.randrange(5)):
            now = at + timedelta(hours=2 + 30 * (step + 1), minutes=chance.randrange(999))
            with clock.frozen(now):
                card.refresh_from_db()
                if not card.is_open:
                    reopen_opportunity(card.pk, by=by, stage=self.open[1])
                elif (luck := chance.random()) < 0.6:
                    move_opportunity(card.pk, by=by, stage=chance.choice(self.open))
                elif luck < 0.85:
                    win_opportunity(card.pk, by=by)
                else:
                    lose_opportunity(card.pk, by=by, reason="silent")

    def seen(self, table: str, who: str) -> str:
        """The asker's rows, as a condition in plain SQL."""
        me, alive = self.people[who].pk, "deleted_at IS NULL"
        alive += " AND merged_into_id IS NULL" if table == "crm_lead" else ""
        teams = f"team_id IN (SELECT team_id FROM crm_teammember WHERE user_id = {me})"
        rule = {
            "admin": "true",
            "manager": f"(owner_id = {me} OR {teams})",
            "reader": f"(owner_id = {me} OR {teams})",
            "rep": f"(owner_id = {me} OR (owner_id IS NULL AND {teams}))",
            "gone": "false",
        }[who]
        return f"{alive} AND {rule}"


def ask(statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


@pytest.fixture(scope="module")
def world(lasting_rows: None, django_db_blocker: pytest_django.DjangoDbBlocker) -> World:
    with django_db_blocker.unblock():
        return World()


def percentile(waits: dict[int, float], share: float) -> float | None:
    """Between the two values that lie around it, as percentile_cont has it."""
    values = sorted(waits.values())
    if not values:
        return None
    place = share * (len(values) - 1)
    below, above = values[int(place)], values[min(int(place) + 1, len(values) - 1)]
    return pytest.approx(below + (above - below) * (place - int(place)))


def rates() -> None:
    admin = actor(make_admin())
    for day, pound in (("2025-12-01", "1.20"), ("2026-01-20", "1.30")):
        set_exchange_rate(by=admin, base="GBP", quote="EUR", on=day, rate=pound)


def test_funnel(world: World, django_assert_num_queries: Callable[..., Any]):
    for who in ROLES:
        with django_assert_num_queries(1):
            steps = funnel(world.pipeline, world.people[who], PERIOD)
        assert [step.name for step in steps] == ["Qualified", "Proposal", "Negotiation", "Won", "Lost"]
        mine = (
            f"opportunity_id IN (SELECT id FROM crm_opportunity WHERE {world.seen('crm_opportunity', who)})"
        )
        for step in steps:
            position = step.name and world.pipeline.stages.get(pk=step.stage_id).position
            moves = ask(
                f"SELECT opportunity_id, at, to_stage_id FROM crm_stagechange WHERE {mine} "
                f"AND at < '{PERIOD.until}' ORDER BY at, id"
            )
            first: dict[int, datetime] = {}
            for card, at, to in moves:
                if to == step.stage_id and at >= PERIOD.since:
                    first.setdefault(card, at)
            stages = {row[0]: row[1:] for row in ask("SELECT id, position, kind FROM crm_stage")}
            later = {
                card: [stages[to] for c, at, to in moves if c == card and at > first[card]] for card in first
            }
            assert step.entered == len(first)
            assert step.went_on == sum(
                any(place > position and kind != "lost" for place, kind in seen) for seen in later.values()
            )
            assert step.won == sum(any(kind == "won" for _place, kind in seen) for seen in later.values())
            assert step.lost == sum(any(kind == "lost" for _place, kind in seen) for seen in later.values())
            (median,) = ask(
                "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds_in_from) FROM crm_stagechange "
                f"WHERE {mine} AND from_stage_id = {step.stage_id} "
                f"AND at >= '{PERIOD.since}' AND at < '{PERIOD.until}'"
            )[0]
            assert step.median_s == median
        if who == "admin":
            assert steps[0].entered >= 40
            assert 0 < steps[0].conversion < 1
        assert (sum(step.entered for step in steps) == 0) is (who == "gone")


def test_conversion_by_source(world: World, django_assert_num_queries: Callable[..., Any]):
    for who in ROLES:
        with django_assert_num_queries(1):
            figures = {row.name: row for row in by_source(world.people[who], PERIOD)}
        span = f">= '{PERIOD.since}' AND {{0}} < '{PERIOD.until}'"
        for name, row in figures.items():
            source = ask(f"SELECT id FROM crm_leadsource WHERE name = '{name}'")[0][0]
            leads = f"crm_lead WHERE source_id = {source} AND created_at {span.format('created_at')}"
            cards = f"crm_opportunity WHERE source_id = {source}"
            mine = world.seen("crm_opportunity", who)
            assert (row.leads, row.converted) == ask(
                f"SELECT count(*), sum(CASE status WHEN 'converted' THEN 1 ELSE 0 END) FROM {leads} "
                f"AND {world.seen('crm_lead', who)}"
            )[0]
            assert row.conversion == row.converted / row.leads
            assert (row.opportunities, row.won) == ask(
                f"SELECT count(*) FILTER (WHERE created_at {span.format('created_at')}), count(*) FILTER "
                f"(WHERE state = 'won' AND closed_at {span.format('closed_at')}) FROM {cards} AND {mine}"
            )[0]
            if who != "admin":
                assert row.cost is None, "whoever sees a part cannot divide the whole cost by it"
        if who == "admin":
            # 5 January to 14 February: 27 of January's 31 days, 13 of February's 28
            s0 = figures["s0"]
            assert all(0 < row.converted < row.leads for row in figures.values())
            assert s0.cost == Decimal("310.00") * 27 / 31 + (Decimal("310.00") * 13 / 28).quantize(
                Decimal("0.01")
            )
            assert s0.cost_per_won == (s0.cost / s0.won).quantize(Decimal("0.01"))
            assert figures["s1"].cost_per_won is None
        assert bool(figures) is (who != "gone")


def test_the_cost_of_a_month_is_its_cost():
    month = Period(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
    assert cost_of(Decimal("90.00"), month) == Decimal("90.00")
    assert cost_of(None, month) is None


def test_conversion_by_campaign(world: World, django_assert_num_queries: Callable[..., Any]):
    for who in ROLES:
        with django_assert_num_queries(1):
            figures = by_utm(world.people[who], PERIOD)
        hand = ask(
            "SELECT coalesce(utm ->> 'utm_source', ''), coalesce(utm ->> 'utm_medium', ''), "
            "coalesce(utm ->> 'utm_campaign', ''), count(*), count(converted_at), "
            "sum(CASE outcome WHEN 'won' THEN 1 ELSE 0 END) FROM (SELECT DISTINCT ON (l.id) l.*, i.utm "
            "FROM crm_lead l JOIN crm_inquiry i ON i.lead_id = l.id ORDER BY l.id, i.received_at, i.id) f "
            f"WHERE utm <> '{{}}' AND id IN (SELECT id FROM crm_lead WHERE {world.seen('crm_lead', who)}) "
            "GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3"
        )
        got = [(r.source, r.medium, r.campaign, r.leads, r.converted, r.won) for r in figures]
        assert got == hand
        assert bool(got) is (who != "gone")
        if who == "admin":
            assert {row[0] for row in got} == {"search", "news"}
            for place in (4, 5):
                assert 0 < sum(row[place] for row in got) < sum(row[3] for row in got)


def test_speed_of_the_first_answer(world: World, django_assert_num_queries: Callable[..., Any]):
    for who in ROLES:
        with django_assert_num_queries(1):
            figures = first_answers(world.people[who], PERIOD, within=timedelta(hours=2))
        mine = f"lead_id IN (SELECT id FROM crm_lead WHERE {world.seen('crm_lead', who)})"
        asked = dict(
            ask(
                "SELECT lead_id, min(received_at) FROM crm_inquiry "
                f"WHERE state <> 'spam' AND {mine} GROUP BY 1"
            )
        )
        asked = {lead: at for lead, at in asked.items() if PERIOD.since <= at < PERIOD.until}
        mails = ask(f"SELECT lead_id, sent_at FROM crm_message WHERE state = 'sent' AND {mine}")
        calls = ask(
            "SELECT lead_id, occurred_at FROM crm_calllog WHERE direction = 'out' "
            f"AND disposition <> 'no_answer' AND {mine}"
        )
        waits: dict[int, float] = {}
        for lead, at in sorted([*mails, *calls], key=lambda row: row[1]):
            if lead in asked and at >= asked[lead]:
                waits.setdefault(lead, (at - asked[lead]).total_seconds())
        got = (figures.asked, figures.answered, figures.in_time)
        assert got == (len(asked), len(waits), sum(wait <= 7_200 for wait in waits.values()))
        assert (figures.median_s, figures.p90_s) == (percentile(waits, 0.5), percentile(waits, 0.9))
        if who == "admin":
            by_mail = {lead for lead, _at in mails} - {lead for lead, _at in calls}
            assert by_mail & set(waits), "some were answered by a mail alone"
            assert 0 < figures.in_time < figures.answered < figures.asked < 60
            assert figures.share_in_time == figures.in_time / figures.asked


def test_follow_up_discipline(world: World, django_assert_max_num_queries: Callable[..., Any]):
    for who in ROLES:
        at = START + timedelta(days=20)
        with django_assert_max_num_queries(1):
            figures = follow_up_discipline(world.people[who], at=at)
        hand = ask(
            "SELECT owner_id, count(*), count(next_action_at), count(*) - count(next_action_at), "
            f"count(*) FILTER (WHERE next_action_at < '{at}') FROM crm_lead "
            f"WHERE status IN ('new', 'working', 'nurturing') AND {world.seen('crm_lead', who)} "
            "GROUP BY owner_id ORDER BY 4 DESC, 1"
        )
        assert [(f.owner_id, f.open, f.planned, f.unplanned, f.overdue) for f in figures] == hand
        assert bool(hand) is (who != "gone")


def test_workload(world: World, django_assert_max_num_queries: Callable[..., Any]):
    for who in ROLES:
        with django_assert_max_num_queries(4):
            loads = {load.user.pk: load for load in workload(world.people[who])}
        for table, name, alive in (
            ("crm_lead", "leads", "status IN ('new', 'working', 'nurturing')"),
            ("crm_opportunity", "opportunities", "state = 'open'"),
        ):
            hand = dict(
                ask(
                    f"SELECT owner_id, count(*) FROM {table} WHERE owner_id IS NOT NULL AND {alive} "
                    f"AND {world.seen(table, who)} GROUP BY owner_id"
                )
            )
            assert {pk: getattr(load, name) for pk, load in loads.items() if getattr(load, name)} == hand
            assert bool(hand) is (who != "gone")
        me = world.people[who].pk
        team = "SELECT team_id FROM crm_teammember WHERE user_id"
        mates = f"SELECT user_id FROM crm_teammember WHERE team_id IN ({team} = {me})"
        or_theirs = f"OR assignee_id IN ({mates})" if who == "manager" else f"OR assignee_id = {me}"
        tasks = dict(
            ask(
                "SELECT assignee_id, count(*) FROM crm_task WHERE state = 'open' AND assignee_id IS NOT NULL "
                f"AND (lead_id IN (SELECT id FROM crm_lead WHERE {world.seen('crm_lead', who)}) "
                f"{'' if who == 'gone' else or_theirs}) GROUP BY 1"
            )
        )
        assert {pk: load.tasks for pk, load in loads.items() if load.tasks} == tasks
        assert bool(tasks) is (who != "gone")
        if who == "admin":
            assert len(set(tasks.values())) > 1
            assert Task.objects.exclude(state="open").exists()


def test_forecast_against_history(world: World, django_assert_max_num_queries: Callable[..., Any]):
    for who in ROLES:
        rates()
        with django_assert_max_num_queries(3):
            figures = forecast(world.people[who], currency="EUR", at=PERIOD.until, history=PERIOD)
        mine = world.seen("crm_opportunity", who)
        for expected in figures:
            hand = ask(
                "SELECT coalesce(round(sum(o.amount * "
                "CASE o.currency WHEN 'GBP' THEN 1.30 ELSE 1 END), 2), 0), "
                "coalesce(round(sum(o.amount * coalesce(o.probability_override, s.probability) / 100 "
                "* CASE o.currency WHEN 'GBP' THEN 1.30 ELSE 1 END), 2), 0), count(*) "
                "FROM crm_opportunity o JOIN crm_stage s ON s.id = o.stage_id "
                f"WHERE o.state = 'open' AND o.currency <> 'USD' AND o.forecast = '{expected.category}' "
                f"AND o.id IN (SELECT id FROM crm_opportunity WHERE {mine})"
            )[0]
            assert (expected.total.amount, expected.total.weighted, expected.total.n) == hand
            won, closed = ask(
                "SELECT count(*) FILTER (WHERE state = 'won'), count(*) FROM crm_opportunity "
                f"WHERE state <> 'open' AND forecast = '{expected.category}' AND {mine} "
                f"AND closed_at >= '{PERIOD.since}' AND closed_at < '{PERIOD.until}'"
            )[0]
            assert (expected.win_rate, expected.of) == (won / closed if closed else None, closed)
            months = dict(
                ask(
                    "SELECT date_trunc('month', expected_close)::date, count(*) FROM crm_opportunity "
                    f"WHERE state = 'open' AND currency <> 'USD' "
                    f"AND forecast = '{expected.category}' AND {mine} "
                    "GROUP BY 1"
                )
            )
            assert {m: t.n for m, t in expected.by_month.items() if t.n} == months
        if who == "admin":
            assert any(expected.total.left_out == ("USD",) for expected in figures)


def test_what_was_won_by_month_at_the_rates_of_its_days(world: World):
    rates()
    won = won_by_month(world.people["admin"], currency="EUR", period=PERIOD)
    hand = ask(
        "SELECT date_trunc('month', closed_at)::date, round(sum(coalesce(amount, 0) * CASE "
        "WHEN currency = 'EUR' THEN 1 WHEN closed_at < '2026-01-20' THEN 1.20 ELSE 1.30 END), 2) "
        "FROM crm_opportunity WHERE state = 'won' AND currency <> 'USD' "
        f"AND closed_at < '{PERIOD.until}' GROUP BY 1"
    )
    assert {month: t.amount for month, t in won.items() if t.n} == dict(hand)
    cards = Opportunity.objects.filter(state="won", closed_at__lt=PERIOD.until)
    with_days = total_closed(cards, currency="EUR")
    assert with_days.amount == sum(t.amount for t in won.values())


def test_the_board_shows_what_hand_written_sql_shows(world: World):
    for who in ROLES:
        rates()
        with clock.frozen(PERIOD.until):
            columns = board(world.pipeline, world.people[who], currency="EUR")
        mine = world.seen("crm_opportunity", who)
        assert [column.stage.name for column in columns] == ["Qualified", "Proposal", "Negotiation"]
        for column in columns:
            hand = ask(
                f"SELECT id FROM crm_opportunity WHERE stage_id = {column.stage.pk} "
                f"AND {mine} ORDER BY rank, id"
            )
            assert [(card.pk,) for card in column.cards] == hand
            assert column.n == len(hand)
            amounts = ask(
                "SELECT coalesce(round(sum(amount * CASE currency WHEN 'GBP' THEN 1.30 ELSE 1 END), 2), 0), "
                f"coalesce(round(sum(amount * coalesce(probability_override, "
                f"{column.stage.probability}) / 100 "
                "* CASE currency WHEN 'GBP' THEN 1.30 ELSE 1 END), 2), 0) FROM crm_opportunity "
                f"WHERE stage_id = {column.stage.pk} AND currency <> 'USD' AND {mine}"
            )[0]
            assert (column.total.amount, column.total.weighted) == amounts
            stalled = ask(
                f"SELECT id FROM crm_opportunity WHERE stage_id = {column.stage.pk} AND {mine} "
                f"AND last_event_at < timestamptz '{PERIOD.until}' - {column.stage.rot_days} * "
                f"interval '1 day'"
            )
            assert {card.pk for card in column.cards if card.is_stalled} == {pk for (pk,) in stalled}
