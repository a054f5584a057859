"""The admin acts on leads by the actions, after a page that asks."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from crm.actions.accounts import create_contact
from crm.actions.bulk_running import advance_bulk
from crm.models import Contact, Job, Lead, Opportunity, Role, Tag, User
from tests.factories import actor, make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db
LEADS = "/admin/crm/lead/"


@pytest.fixture
def boss() -> User:
    return make_admin()


@pytest.fixture
def client(boss: User) -> Client:
    client = Client()
    client.force_login(boss)
    return client


def act(client: Client, what: str, *leads: Lead, query: str = "", **data: Any) -> str:
    form = {"action": what, "_selected_action": [lead.pk for lead in leads], **data}
    return client.post(LEADS + query, form, follow=True).content.decode()


def status_of(lead: Lead) -> str:
    lead.refresh_from_db()
    return lead.status


def test_ten_thousand_leads_in_one_request_are_refused_and_none_is_half_deleted(client: Client):
    lead = make_lead()
    form = {"action": "remove_selected", "_selected_action": [lead.pk, *range(10**6, 10**6 + 9_999)]}
    assert client.post(LEADS, form).status_code == 400
    assert Lead.objects.get(pk=lead.pk).deleted_at is None
    act(client, "remove_selected", lead)
    assert Lead.objects.get(pk=lead.pk).deleted_at is not None


def test_disqualifying_asks_why_and_one_refusal_holds_back_nobody(client: Client):
    open_one = make_lead(name="Ida")
    closed = make_lead(name="Bo", status="disqualified", disqualify_reason="x")
    assert 'name="reason"' in act(client, "disqualify", open_one, closed)
    assert status_of(open_one) == "new"
    assert "required" in act(client, "disqualify", open_one, confirmed="1")
    assert status_of(open_one) == "new"
    page = act(client, "disqualify", open_one, closed, confirmed="1", reason="No garden")
    assert "Done for 1 record" in page
    assert "1 was left as it is: A lead cannot go" in page
    assert status_of(open_one) == "disqualified"
    act(client, "reopen", open_one)
    assert status_of(open_one) == "working"


def test_snoozing_asks_until_when(client: Client):
    lead = make_lead()
    assert "datetime-local" in act(client, "snooze", lead)
    assert "valid date" in act(client, "snooze", lead, confirmed="1", until="soon")
    until = timezone.now() + timedelta(days=5)
    act(client, "snooze", lead, confirmed="1", until=f"{until:%Y-%m-%dT%H:%M}")
    assert status_of(lead) == "nurturing"


def test_deleted_leads_have_a_list_from_which_they_come_back(client: Client):
    lead = make_lead(name="Ida Moss")
    act(client, "remove_selected", lead)
    assert "Ida Moss" not in client.get(LEADS).content.decode()
    assert "Ida Moss" in client.get(f"{LEADS}?deleted=yes").content.decode()
    act(client, "restore_selected", lead, query="?deleted=yes")
    assert "Ida Moss" in client.get(LEADS).content.decode()


def test_converting_offers_who_is_known_and_makes_what_is_new(client: Client, boss: User):
    lead = make_lead(name="Ida Moss", company="Moss & Co", email="ida@moss.example", owner=boss)
    known = create_contact(by=actor(boss), full_name="I. M.", email="ida@moss.example")
    page = act(client, "convert", lead)
    assert f'value="{known.pk}"' in page
    assert "New: Moss &amp; Co" in page
    for wrong in ("", "999999999", "ghost", "none"):
        act(client, "convert", lead, confirmed="1", contact=wrong, account="none", opportunity="none")
        assert status_of(lead) == "new"
    act(client, "convert", lead, confirmed="1", contact=str(known.pk), account="new", opportunity="new")
    assert status_of(lead) == "converted"
    assert lead.contact == known
    assert Opportunity.objects.get().primary_contact == known
    assert Contact.objects.count() == 1
    assert "Select one row" in act(client, "convert", lead, make_lead())


def test_a_rep_is_not_offered_to_delete_and_a_manager_restores_the_teams_alone():
    team = make_team()
    rep, manager = make_user(team=team), make_user(Role.MANAGER, team=team)
    ours, theirs = make_lead(team=team, owner=rep, name="Ours"), make_lead(team=make_team(), name="Theirs")
    client = Client()
    client.force_login(rep)
    act(client, "remove_selected", ours)
    ours.refresh_from_db()
    assert ours.deleted_at is None
    Lead.objects.update(deleted_at=timezone.now())
    assert "Ours" not in client.get(f"{LEADS}?deleted=yes").content.decode()
    client.force_login(manager)
    page = client.get(f"{LEADS}?deleted=yes").content.decode()
    assert "Ours" in page
    assert "Theirs" not in page
    act(client, "restore_selected", ours, theirs, query="?deleted=yes")
    assert set(Lead.objects.live()) == {ours}


def test_select_across_is_one_job_over_the_records_that_are_seen(boss: User):
    """THREATS 4.2: 60 visible, 60 foreign: only the visible ones change, also when foreign ones are named."""
    team = make_team()
    manager = make_user(Role.MANAGER, team=team)
    client = Client()
    client.force_login(manager)
    visible = [make_lead(name=f"Ours {n}", team=team) for n in range(60)]
    foreign = [make_lead(name=f"Theirs {n}") for n in range(60)]
    page = act(client, "disqualify", visible[0], foreign[0], select_across="1")
    assert 'name="select_across" value="1"' in page
    assert page.count('name="_selected_action"') == 1
    page = act(client, "disqualify", *foreign, select_across="1", confirmed="1", reason="No garden")
    job = Job.objects.get()
    assert f"/bulk/{job.public_id}/" in page
    assert job.total == 60
    while advance_bulk(job.pk, seconds=5):
        pass
    assert set(Lead.objects.filter(status="disqualified")) == set(visible)
    act(client, "disqualify", *foreign, confirmed="1", reason="No garden")
    assert Lead.objects.filter(status="disqualified").count() == 60


def test_select_across_obeys_the_filter_and_the_search_of_the_list(client: Client):
    make_lead(name="Ida"), make_lead(name="Bo", status="working"), make_lead(name="Io", status="working")
    tag = Tag.objects.create(name="VIP")
    one = Lead.objects.get(name="Bo")
    query = "?status__exact=working&q=bo"
    assert 'name="tag"' in act(client, "stick_tag", one, query=query, select_across="1")
    act(client, "stick_tag", one, query=query, select_across="1", confirmed="1", tag=str(tag.pk))
    job = Job.objects.get()
    assert job.total == 1
    while advance_bulk(job.pk, seconds=5):
        pass
    assert tag.taggings.get().lead == one
    act(client, "take_tag_off", one, confirmed="1", tag=str(tag.pk))  # a few go at once
    assert not tag.taggings.exists()
