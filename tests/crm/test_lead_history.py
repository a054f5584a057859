"""Every change of a lead's status leaves one line of history, whoever makes it, without gaps."""

from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from crm import clock
from crm.actions.base import undo
from crm.actions.intake import receive_inquiry
from crm.actions.lead_plans import default_plan
from crm.actions.leads import disqualify_lead, plan_next_action, reopen_lead, snooze_lead, wake_due_leads
from crm.actions.messages import record_inbound_message
from crm.models import Actor, Lead, LeadStatusChange, Undo
from tests.crm.imports.files import csv_of, run
from tests.factories import actor, make_admin

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def history(lead: Lead) -> list[tuple[str, str, int | None, str]]:
    changes = LeadStatusChange.objects.filter(lead=lead).order_by("at", "id")
    return [(c.from_status, c.to_status, c.seconds_in_from, c.actor_kind) for c in changes]


def test_history_has_a_line_for_each_arrow_with_who_and_for_how_long(noon: datetime):
    admin = make_admin()
    lead = receive_inquiry(channel="form", payload={"email": "ida@example.org"}, by=Actor.system()).lead
    with clock.frozen(noon + HOUR):
        plan_next_action(lead.pk, by=actor(admin), at=noon + 2 * HOUR, kind="call")
    with clock.frozen(noon + 2 * HOUR):
        snooze_lead(lead.pk, by=actor(admin), until=noon + 5 * HOUR)
    with clock.frozen(noon + 3 * HOUR):
        snooze_lead(lead.pk, by=actor(admin), until=noon + 4 * HOUR)  # sleeps on: no new line
    with clock.frozen(noon + 4 * HOUR):
        assert wake_due_leads(noon + 4 * HOUR) == 1
        disqualify_lead(lead.pk, by=actor(admin), reason="No garden")
        reopen_lead(lead.pk, by=actor(admin), **default_plan())
    assert history(lead) == [
        ("", "new", None, "system"),
        ("new", "working", 3_600, "user"),
        ("working", "nurturing", 3_600, "user"),
        ("nurturing", "working", 7_200, "system"),
        ("working", "disqualified", 0, "user"),
        ("disqualified", "working", 0, "user"),
    ]
    assert LeadStatusChange.objects.filter(lead=lead, by=admin).count() == 4


def test_an_undo_is_a_line_of_its_own(noon: datetime):
    admin = make_admin()
    lead = receive_inquiry(channel="manual", payload={"name": "Ida"}, by=actor(admin)).lead
    disqualify_lead(lead.pk, by=actor(admin), reason="No garden")
    with clock.frozen(noon + timedelta(seconds=5)):
        undo(Undo.objects.get().public_id, by=actor(admin))
    assert history(lead)[1:] == [("new", "disqualified", 0, "user"), ("disqualified", "new", 5, "user")]


def test_an_undone_change_leaves_the_lead_its_status_since_before(noon: datetime):
    admin = make_admin()
    lead = receive_inquiry(channel="manual", payload={"name": "Ida"}, by=actor(admin)).lead
    plan_next_action(lead.pk, by=actor(admin), at=noon + HOUR, kind="call")
    with clock.frozen(noon + 240 * HOUR):
        lead = disqualify_lead(lead.pk, by=actor(admin), reason="No garden")
        undo(lead.undo_offer.public_id, by=actor(admin))
    lead.refresh_from_db()
    assert (lead.status, lead.status_changed_at) == ("working", noon)
    with clock.frozen(noon + 480 * HOUR):
        snooze_lead(lead.pk, by=actor(admin), until=noon + 500 * HOUR)
    assert history(lead)[-1] == ("working", "nurturing", 480 * 3_600, "user"), "the whole stay"


def asleep(noon: datetime) -> Lead:
    lead = receive_inquiry(channel="form", payload={"email": "ida@example.org"}, by=Actor.system()).lead
    snooze_lead(lead.pk, by=Actor.system(), until=noon + timedelta(days=9))
    return lead


def by_mail() -> None:
    record_inbound_message(
        Lead.objects.get().pk, by=Actor.system(), from_address="ida@example.org", subject="Hi", text="Hi"
    )


def by_form() -> None:
    receive_inquiry(channel="form", payload={"email": "ida@example.org"}, by=Actor.system())


def by_file() -> None:
    content = csv_of("Name,E-mail", "Ida,ida@example.org")
    job = run(content, mapping={"Name": "name", "E-mail": "email"}, policy="create")
    assert job.rows_updated == 1


@pytest.mark.parametrize("comes_back", [by_mail, by_form, by_file])
def test_who_comes_back_wakes_the_lead_at_once_and_is_looked_at_now(noon: datetime, comes_back):
    lead = asleep(noon)
    with clock.frozen(noon + HOUR):
        comes_back()
    lead.refresh_from_db()
    assert (lead.status, lead.snoozed_until) == ("working", None)
    assert (lead.next_action_at, lead.next_action_kind) == (noon + HOUR, "review")
    assert history(lead)[-1] == ("nurturing", "working", 3_600, "system")


def test_a_file_begins_the_history_of_the_leads_that_it_brings():
    user = make_admin()
    content = csv_of("Name,E-mail", "Ida,ida@example.org", "Bo,bo@example.org")
    run(content, by=actor(user), mapping={"Name": "name", "E-mail": "email"}, policy="create")
    lines = LeadStatusChange.objects.values_list(
        "lead__name", "from_status", "to_status", "by", "seconds_in_from"
    )
    assert sorted(lines) == [("Bo", "", "new", user.pk, None), ("Ida", "", "new", user.pk, None)]


@pytest.mark.parametrize(
    "statement", ["UPDATE crm_leadstatuschange SET to_status = 'working'", "DELETE FROM crm_leadstatuschange"]
)
def test_history_is_not_rewritten(statement: str):
    lead = receive_inquiry(channel="form", payload={"name": "Ida"}, by=Actor.system()).lead
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert history(lead) == [("", "new", None, "system")]
