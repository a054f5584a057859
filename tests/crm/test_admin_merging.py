"""Merging, parting and undoing an import through the admin: a page first, then the action."""

from typing import Any

import pytest
from django.test import Client

from crm.actions.duplicates import note_duplicates_of
from crm.models import DuplicateCandidate, ImportJob, Lead, MergeLog, Role, User
from tests.crm.imports.files import people, run
from tests.factories import make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def act(client: Client, model: str, action: str, *rows: Any, **values: str) -> Any:
    data = {"action": action, "_selected_action": [row.pk for row in rows], **values}
    return client.post(f"/admin/crm/{model}/", data, follow=True)


def test_two_leads_are_shown_side_by_side_and_merged_as_chosen():
    client = signed_in(make_admin())
    one, two = make_lead(name="Ada", email="a@example.com"), make_lead(name="Eda", company="Lane Ltd")
    page = act(client, "lead", "merge_two", one, two).content.decode()
    assert "Lane Ltd" in page
    assert 'name="value-company"' in page
    assert not MergeLog.objects.exists()
    chosen = {"confirmed": "1", "stays": "b", "value-name": "a", "version-a": "1", "version-b": "1"}
    act(client, "lead", "merge_two", one, two, **chosen)
    log = MergeLog.objects.get()
    assert (log.winner_lead, log.loser_lead) == (two, one)
    assert Lead.objects.get(pk=two.pk).name == "Ada"
    assert "two again" in act(client, "mergelog", "undo", log).content.decode()
    act(client, "mergelog", "undo", log, confirmed="1")
    assert Lead.objects.live().count() == 2
    assert Lead.objects.get(pk=two.pk).name == "Eda"


def test_what_was_changed_meanwhile_or_is_not_two_is_refused_in_words():
    client = signed_in(make_admin())
    one, two = make_lead(), make_lead()
    stale = act(client, "lead", "merge_two", one, two, confirmed="1", **{"version-a": "9", "version-b": "1"})
    assert "Someone else changed this first" in stale.content.decode()
    assert "Select two" in act(client, "lead", "merge_two", one).content.decode()
    assert not MergeLog.objects.exists()


def test_pairs_are_merged_or_dismissed_and_only_one_s_own_are_shown():
    team = make_team()
    boss = signed_in(make_user(Role.MANAGER, team=team))
    one = make_lead(name="Ada Lane", email="a@example.com", team=team)
    make_lead(name="Eda Lane", email="a@example.com", team=team)
    note_duplicates_of(one)
    make_lead(name="Hidden", email="h@example.com")
    foreign = make_lead(name="Hidden too", email="h@example.com")
    note_duplicates_of(foreign)
    page = boss.get("/admin/crm/duplicatecandidate/").content.decode()
    assert "Ada Lane" in page
    assert "Hidden" not in page
    pair = DuplicateCandidate.objects.get(lead_a=one)
    assert "a@example.com" in act(boss, "duplicatecandidate", "merge_this", pair).content.decode()
    act(boss, "duplicatecandidate", "dismiss", pair)
    pair.refresh_from_db()
    assert pair.state == "dismissed"


def test_an_import_is_undone_after_a_page_that_says_what_stays():
    client = signed_in(make_admin())
    job = run(people(3))
    Lead.objects.filter(name="Person 2").update(version=2)
    page = act(client, "importjob", "undo", job).content.decode()
    assert "2 leads are removed" in page
    assert "Person 2" in page
    assert Lead.objects.count() == 3
    act(client, "importjob", "undo", job, confirmed="1")
    assert ImportJob.objects.get().job.cursor["phase"] == "undo"
