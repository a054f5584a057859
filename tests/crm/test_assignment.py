"""Who gets a new lead: rules in order, one winner at a time, and a sentence that says why."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from crm.actions.assignment import (
    assign_by_rules,
    assign_pool,
    preview_assignment,
    save_assignment_rule,
)
from crm.actions.assignment_conditions import checked_condition, fits
from crm.actions.intake import receive_inquiry
from crm.actions.leads import assign_lead
from crm.errors import CRMError, InvalidValue, PermissionRefused
from crm.models import (
    Actor,
    AssignmentLog,
    AssignmentRule,
    Channel,
    CustomField,
    Lead,
    Notification,
    Role,
    TimelineEvent,
)
from crm.models.working_hours import validate_working_hours
from tests.factories import actor, make_admin, make_lead, make_source, make_team, make_user
from tests.tables import state_of_tables

db = pytest.mark.django_db
parallel = pytest.mark.django_db(transaction=True)


def make_rule(method: str = "round_robin", users=(), **fields) -> AssignmentRule:
    fields.setdefault("name", f"Rule {AssignmentRule.objects.count() + 1}")
    rule = AssignmentRule.objects.create(method=method, **fields)
    rule.users.set(users)
    return rule


def ask(n: int = 1, **fields) -> Lead:
    payload = {"name": f"Person {n}", "email": f"asks{n}@example.org", **fields}
    return receive_inquiry(
        channel=Channel.FORM, payload=payload, by=Actor.system(), source=make_source("web")
    ).lead


def run_in_threads(count: int, work) -> list:
    start, results = threading.Barrier(count), []

    def run(n: int) -> None:
        try:
            start.wait()
            results.append(work(n))
        except Exception as error:
            results.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@db
def test_without_a_rule_a_lead_waits_in_the_pool_as_ever():
    lead = ask()
    assert lead.owner is None
    assert AssignmentLog.objects.count() == 0


@db
def test_the_first_rule_that_fits_and_has_somebody_decides_and_says_why(noon):
    ada, bo = make_user(name="Ada"), make_user(name="Bo", is_accepting=False)
    make_rule("fixed", [make_user()], name="Far", condition={"country": ["NZ"]}, position=1)
    make_rule("fixed", [bo], name="Off", position=2)
    rule = make_rule("fixed", [ada], name="All", position=3)
    make_rule("fixed", [make_user()], name="Never reached", position=4)
    lead = ask(country="GB")
    assert lead.owner == ada
    log = AssignmentLog.objects.get()
    assert (log.lead, log.rule, log.chosen) == (lead, rule, ada)
    assert log.reason == "“All” gives it to Ada."
    assert log.candidates == [{"user": str(ada.public_id), "name": "Ada", "open": 1, "why_not": ""}]
    told = TimelineEvent.objects.get(kind="lead.assigned")
    assert (told.actor_kind, told.actor_label) == ("rule", "All")
    assert Notification.objects.get().user == ada


@db
def test_a_lead_that_nobody_is_free_for_waits_and_the_log_says_so(noon):
    make_rule("fixed", [make_user(is_active=False)], name="Gone")
    lead = ask()
    assert lead.owner is None
    assert AssignmentLog.objects.get().reason == "Nobody of “Gone” is free, so it waits in the pool."


@db
def test_who_enters_a_lead_by_hand_keeps_it():
    me = make_user()
    make_rule("fixed", [make_user()])
    lead = receive_inquiry(channel=Channel.MANUAL, payload={"name": "Ada"}, by=actor(me)).lead
    assert lead.owner == me


@db
def test_somebody_who_asks_again_stays_with_their_owner():
    ada, bo = make_user(), make_user()
    make_rule("round_robin", [ada, bo])
    first = ask()
    again = ask(message="Hello?")
    assert (again, again.owner) == (first, first.owner)
    assert AssignmentLog.objects.count() == 1


@db
def test_in_turn_skips_who_is_away_and_goes_on_behind_the_last():
    users = [make_user() for _n in range(3)]
    rule = make_rule("round_robin", users)
    owners = [ask(n).owner for n in range(2)]
    users[2].is_accepting = False
    users[2].save()
    owners += [ask(n).owner for n in range(2, 5)]
    assert owners == [users[0], users[1], users[0], users[1], users[0]]
    rule.refresh_from_db()
    assert rule.cursor == users[0].pk


@db
def test_the_one_with_the_fewest_open_leads_gets_the_next():
    ada, bo = make_user(name="Ada"), make_user(name="Bo")
    for _n in range(3):
        make_lead(owner=ada)
    make_lead(owner=bo)
    for _n in range(9):
        make_lead(owner=bo, status="disqualified", disqualify_reason="spam")
    make_rule("least_open", [ada, bo], name="Even")
    assert [ask(n).owner for n in range(5)] == [bo, bo, ada, bo, ada]
    assert AssignmentLog.objects.first().reason == "“Even”: Bo has the fewest open leads, 1."


@db
def test_capacity_and_working_hours_count_on_each_persons_own_clock():
    from crm import clock

    hours = {"mon": ["09:00", "17:00"]}
    berlin = make_user(name="B", time_zone="Europe/Berlin", working_hours=hours, capacity=2)
    york = make_user(name="Y", time_zone="America/New_York", working_hours=hours, capacity=50)
    make_rule("capacity", [berlin, york], name="Shift")
    monday = datetime(2026, 3, 2, tzinfo=UTC)
    with clock.frozen(monday + timedelta(hours=9)):  # 10:00 in Berlin, 04:00 in New York
        assert [ask(n).owner for n in range(3)] == [berlin, berlin, None]
    whys = {c["name"]: c["why_not"] for c in AssignmentLog.objects.latest("pk").candidates}
    assert AssignmentLog.objects.latest("pk").reason == "Nobody of “Shift” is free, so it waits in the pool."
    preview = None
    with clock.frozen(monday + timedelta(hours=15)):  # 16:00 and 10:00
        preview = preview_assignment(Lead.objects.latest("pk"))
        assert ask(3).owner == york
    assert preview.chosen == york
    assert [c["why_not"] for c in preview.candidates] == ["has 2 open leads of at most 2", ""]
    assert whys == {}


@pytest.mark.parametrize(
    ("at", "works"),
    [
        ("2026-03-02T22:00", True),
        ("2026-03-03T05:59", True),
        ("2026-03-03T06:00", False),
        ("2026-03-02T21:59", False),
    ],
)
def test_a_night_shift_goes_on_past_midnight(at: str, works: bool):
    from zoneinfo import ZoneInfo

    from crm.models import is_working

    hours = {"mon": ["22:00", "06:00"]}
    assert is_working(hours, ZoneInfo("UTC"), datetime.fromisoformat(at).replace(tzinfo=UTC)) is works


@pytest.mark.parametrize(
    "value", [[], {"moon": ["09:00", "17:00"]}, {"mon": "all day"}, {"mon": ["9", "25:00"]}, {"mon": [9, 17]}]
)
def test_hours_that_nobody_can_read_are_refused(value):
    with pytest.raises(ValidationError):
        validate_working_hours(value)
    validate_working_hours({"mon": ["09:00", "17:00"]})


@db
def test_a_team_stands_for_its_people_and_the_lead_goes_to_a_team_that_may_see_it():
    sales, support = make_team(), make_team()
    ada = make_user(team=sales)
    make_user(Role.READ_ONLY, team=sales)
    make_rule("round_robin", team=sales)
    source = make_source("fair", default_team=support)
    lead = receive_inquiry(
        channel=Channel.FORM, payload={"name": "Bo"}, by=Actor.system(), source=source
    ).lead
    assert (lead.owner, lead.team) == (ada, sales)


# --- conditions ---------------------------------------------------------------------------------------------


@db
def test_all_parts_of_a_condition_must_fit():
    CustomField.objects.create(key="size", label="Size", type="text")
    make_source("fair")
    condition = checked_condition(
        {"source": "fair", "country": ["de", "AT"], "kind": "person", "score_min": 60,
         "est_value_min": "10000", "interest_contains": ["ROOF"], "custom:size": ["L", "XL"]}
    )  # fmt: skip
    fitting = {
        "source": make_source("fair"), "country": "DE", "score": 60, "score_source": "rules",
        "est_value": 10_000, "interest": "a roof garden", "custom": {"size": "L"},
    }  # fmt: skip
    assert fits(condition, make_lead(**fitting))
    others = {
        "source": make_source("web"),
        "country": "FR",
        "score": 59,
        "est_value": 1,
        "interest": "",
        "custom": {},
    }
    for name, value in others.items():
        assert not fits(condition, make_lead(**{**fitting, name: value})), name
    assert not fits(condition, make_lead(**{**fitting, "score": None, "score_source": ""}))
    assert fits({}, make_lead())


@db
@pytest.mark.parametrize(
    ("condition", "named"),
    [
        ([], "object"),
        ({"colour": "red"}, "colour"),
        ({"source": ["nowhere"]}, "nowhere"),
        ({"source": []}, "source"),
        ({"country": "Germany"}, "country"),
        ({"country": 1}, "country"),
        ({"score_min": "60"}, "score_min"),
        ({"score_min": 101}, "score_min"),
        ({"score_min": True}, "score_min"),
        ({"est_value_min": "much"}, "est_value_min"),
        ({"est_value_min": -1}, "est_value_min"),
        ({"interest_contains": ["a\0"]}, "interest_contains"),
        ({"custom:nothing": "x"}, "custom:nothing"),
        ({"kind": "robot"}, "robot"),
    ],
)
def test_a_bad_condition_is_refused_by_its_key_and_changes_nothing(condition, named: str):
    make_source("fair")
    admin, ada = actor(make_admin()), make_user()
    before = state_of_tables()
    with pytest.raises(InvalidValue, match=named) as refused:
        save_assignment_rule(
            None, by=admin, name="R", method="fixed", users=[ada], condition=condition or [1]
        )
    assert refused.value.field == "condition"
    assert state_of_tables() == before
    good = {"source": "fair"}
    rule = save_assignment_rule(None, by=admin, name="R", method="fixed", users=[ada], condition=good)
    assert rule.condition == {"source": ["fair"]}


@db
def test_a_rule_is_an_admins_to_make_and_names_its_people():
    with pytest.raises(PermissionRefused):
        save_assignment_rule(None, by=actor(make_user(Role.MANAGER)), name="R", method="fixed")
    admin, people = actor(make_admin()), [make_user(), make_user()]
    for values in ({"method": "fixed", "users": people}, {"method": "round_robin", "users": []}):
        with pytest.raises(InvalidValue) as refused:
            save_assignment_rule(None, by=admin, name="R", **values)
        assert refused.value.field == "users"
    assert AssignmentRule.objects.count() == 0
    rule = save_assignment_rule(None, by=admin, name="R", method="round_robin", users=people)
    changed = save_assignment_rule(rule.pk, by=admin, version=1, is_active=False)
    assert (changed.version, changed.users.count()) == (2, 2)


# --- asking and dealing out ---------------------------------------------------------------------------------


@db
def test_asking_who_would_get_a_lead_changes_nothing():
    ada, bo = make_user(), make_user()
    make_rule("round_robin", [ada, bo])
    lead = make_lead()
    before = state_of_tables()
    assert [preview_assignment(lead).chosen for _n in range(3)] == [ada, ada, ada]
    assert state_of_tables() == before


@db
def test_a_manager_deals_out_the_pool_in_few_statements():
    team = make_team()
    people = [make_user(team=team) for _n in range(3)]
    manager = make_user(Role.MANAGER, team=team)
    make_rule("round_robin", people)
    for _n in range(30):
        make_lead(team=team)
    foreign, owned = make_lead(team=make_team()), make_lead(team=team, owner=manager)
    with pytest.raises(CRMError):
        assign_pool(team.pk, by=actor(people[0]))
    with CaptureQueriesContext(connection) as captured:
        assert assign_pool(team.pk, by=actor(manager)) == 30
    choosing = [query["sql"] for query in captured if "crm_assignment" in query["sql"]]
    assert len(choosing) <= 6, choosing
    counts = Counter(Lead.objects.filter(team=team).exclude(pk=owned.pk).values_list("owner", flat=True))
    assert counts == dict.fromkeys((user.pk for user in people), 10)
    foreign.refresh_from_db()
    assert foreign.owner is None
    assert Notification.objects.count() == 3
    assert assign_by_rules([foreign.pk, owned.pk]) == 1


@parallel
def test_fifty_leads_at_once_are_dealt_out_evenly():
    people = [make_user() for _n in range(4)]
    make_rule("round_robin", people)
    make_source("web")
    results = run_in_threads(50, ask)
    assert [type(lead) for lead in results if not isinstance(lead, Lead)] == []
    counts = Counter(Lead.objects.values_list("owner", flat=True))
    assert set(counts) == {user.pk for user in people}
    assert max(counts.values()) - min(counts.values()) <= 1
    assert AssignmentLog.objects.count() == 50


@parallel
def test_of_fifty_people_who_take_a_lead_at_once_one_gets_it():
    team = make_team()
    people = [make_user(team=team) for _n in range(50)]
    lead = make_lead(team=team)
    results = run_in_threads(50, lambda n: assign_lead(lead.pk, by=actor(people[n]), owner=people[n]))
    winners = [result for result in results if isinstance(result, Lead)]
    lead.refresh_from_db()
    assert [winner.owner for winner in winners] == [lead.owner]
    assert all(isinstance(result, Lead | Lead.DoesNotExist | CRMError) for result in results)
    assert TimelineEvent.objects.filter(kind="lead.assigned").count() == 1
