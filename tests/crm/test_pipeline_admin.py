"""Pipelines and opportunities in the admin: the same actions, the same rights."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from crm.actions.opportunities import create_opportunity
from crm.actions.pipelines import default_pipeline, save_pipeline
from crm.models import Account, Actor, Contact, ExchangeRate, Opportunity, Pipeline, Role, StageChange, User
from tests.crm.test_admin import ADMIN, form_of, url_of
from tests.factories import actor, make_admin, make_team, make_user

pytestmark = pytest.mark.django_db


def browse(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def bulk(client: Client, action: str, cards: list[Opportunity], **chosen: Any) -> str:
    rows = {"action": action, "_selected_action": [card.pk for card in cards], **chosen}
    return client.post(f"{ADMIN}crm/opportunity/", rows, follow=True).content.decode()


def test_a_stage_is_changed_added_and_put_in_its_place_on_its_pipelines_page():
    client, pipeline = browse(make_admin()), default_pipeline()
    form = form_of(client.get(url_of(pipeline)))
    form |= {"stages-0-place": 2, "stages-1-place": 1, "stages-2-name": "Talks", "stages-TOTAL_FORMS": 6}
    form |= {"stages-5-name": "Site visit", "stages-5-kind": "open", "stages-5-probability": 10}
    form |= {"stages-5-exit_rules": '["amount"]', "stages-5-place": 3, "stages-5-pipeline": pipeline.pk}
    response = client.post(url_of(pipeline), form)
    assert response.status_code == 302, response.context["errors"]
    names = list(pipeline.stages.order_by("position").values_list("name", flat=True))
    assert names == ["Proposal", "Qualified", "Talks", "Site visit", "Won", "Lost"]
    assert pipeline.stages.get(name="Site visit").exit_rules == ["amount"]


def test_what_the_action_refuses_is_shown_and_nothing_changes():
    client, pipeline = browse(make_admin()), default_pipeline()
    form = form_of(client.get(url_of(pipeline)))
    response = client.post(url_of(pipeline), form | {"stages-0-exit_rules": '["password"]'})
    assert response.status_code == 200
    assert "no field that can be asked for" in response.content.decode()
    assert pipeline.stages.get(name="Qualified").exit_rules == []


def test_the_default_is_chosen_and_stays_out_of_the_archive():
    client, sales = browse(make_admin()), default_pipeline()
    upkeep = save_pipeline(None, by=actor(make_admin()), name="Upkeep")
    act = lambda name, row: client.post(
        f"{ADMIN}crm/pipeline/", {"action": name, "_selected_action": [row.pk]}, follow=True
    ).content.decode()
    assert "default pipeline stays" in act("archive", sales)
    act("make_default", upkeep)
    act("archive", sales)
    assert list(Pipeline.objects.order_by("pk").values_list("is_default", "is_active")) == [
        (False, False),
        (True, True),
    ]
    act("restore", sales)
    assert Pipeline.objects.get(pk=sales.pk).is_active


def test_an_opportunity_is_saved_by_its_action_and_its_state_is_read_only():
    client, card = browse(make_admin()), create_opportunity(by=Actor.system(), name="Hedge")
    form = form_of(client.get(url_of(card)))
    assert not {"stage", "state", "owner", "closed_at"} & set(form)
    assert client.post(url_of(card), form | {"amount": "12.50"}).status_code == 302
    card.refresh_from_db()
    assert (str(card.amount), card.version) == ("12.50", 2)


def test_bulk_acts_ask_first_go_through_the_actions_and_say_what_was_refused():
    rep = make_user(team=make_team())
    client, stages = browse(make_admin()), default_pipeline().stages
    cards = [create_opportunity(by=Actor.system(), name=f"Hedge {n}") for n in range(3)]
    assert rep.name in bulk(client, "assign", cards)
    assert not Opportunity.objects.filter(owner=rep).exists()
    assert "Done for 3 records" in bulk(client, "assign", cards, confirmed=1, owner=rep.pk)
    to = stages.get(name="Proposal").pk
    assert "Done for 3 records" in bulk(client, "move", cards, confirmed=1, stage=to)
    assert "This field is required" in bulk(client, "lose", cards, confirmed=1, reason="")
    won = stages.get(kind="won").pk
    assert "Select a valid choice" in bulk(client, "move", cards, confirmed=1, stage=won)
    assert "Done for 2 records" in bulk(client, "lose", cards[:2], confirmed=1, reason="silent")
    page = bulk(client, "lose", cards, confirmed=1, reason="silent")
    assert "Done for 1 record." in page
    assert "2 were left as they are" in page
    assert set(Opportunity.objects.values_list("state", "owner")) == {("lost", rep.pk)}
    assert "Done for 3 records" in bulk(client, "reopen", cards, confirmed=1, stage=to)
    assert "Done for 1 record." in bulk(client, "win", cards[:1])
    assert list(Opportunity.objects.order_by("pk").values_list("state", flat=True)) == ["won", "open", "open"]


def test_what_is_deleted_is_found_by_a_filter_and_brought_back():
    client = browse(make_admin())
    card = create_opportunity(by=Actor.system(), name="Hedge")
    assert "Done for 1 record." in bulk(client, "remove_selected", [card])
    assert list(client.get(f"{ADMIN}crm/opportunity/").context["cl"].result_list) == []
    page = client.get(f"{ADMIN}crm/opportunity/?deleted=yes")
    assert list(page.context["cl"].result_list) == [card]
    assert url_of(card) not in page.content.decode()
    chosen = {"action": "restore_selected", "_selected_action": [card.pk]}
    client.post(f"{ADMIN}crm/opportunity/?deleted=yes", chosen)
    assert Opportunity.objects.open().get() == card


def test_too_many_at_once_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("crm.admin.bulk.MOST_AT_ONCE", 2)
    cards = [create_opportunity(by=Actor.system(), name=f"Hedge {n}") for n in range(3)]
    assert "Select at most 2" in bulk(browse(make_admin()), "win", cards, select_across=1)
    assert Opportunity.objects.open().count() == 3


def test_an_opportunity_is_opened_by_its_action():
    client, account = browse(make_admin()), Account.objects.create(name="Lane Ltd")
    form = form_of(client.get(f"{ADMIN}crm/opportunity/add/"))
    assert client.post(f"{ADMIN}crm/opportunity/add/", form | {"name": "Terrace", "account": account.pk})
    card = Opportunity.objects.get()
    assert (card.stage.name, card.account, StageChange.objects.count()) == ("Qualified", account, 1)


def test_a_stage_is_archived_by_its_action():
    client, stage = browse(make_admin()), default_pipeline().stages.get(name="Negotiation")
    act = {"action": "archive", "_selected_action": [stage.pk]}
    client.post(f"{ADMIN}crm/stage/", act)
    stage.refresh_from_db()
    assert not stage.is_active
    client.post(f"{ADMIN}crm/stage/", act | {"action": "restore"})
    form = form_of(client.get(url_of(stage)))
    assert client.post(url_of(stage), form | {"probability": 60}).status_code == 302
    stage.refresh_from_db()
    assert (stage.is_active, stage.probability) == (True, 60)


def test_a_manager_reaches_the_teams_opportunities_and_no_others():
    team = make_team()
    manager, rep = make_user(Role.MANAGER, team=team), make_user(team=team)
    client = browse(manager)
    own = create_opportunity(by=actor(rep), name="Our hedge")
    foreign = create_opportunity(by=actor(make_user(team=make_team())), name="Their hedge")
    page = client.get(f"{ADMIN}crm/opportunity/").content.decode()
    assert "Our hedge" in page
    assert "Their hedge" not in page
    assert client.get(url_of(foreign)).status_code == 302
    bulk(client, "lose", [own, foreign], confirmed=1, reason="silent")
    assert list(Opportunity.objects.order_by("pk").values_list("state", flat=True)) == ["lost", "open"]
    changes = client.get(f"{ADMIN}crm/stagechange/").context["cl"].result_list
    assert {change.opportunity_id for change in changes} == {own.pk}
    assert client.get(f"{ADMIN}crm/pipeline/").status_code == 403
    foreign_account = Account.objects.create(name="Theirs", team=foreign.team)
    form = form_of(client.get(url_of(own)))
    page = client.post(url_of(own), form | {"account": foreign_account.pk})
    assert "Select a valid choice" in page.content.decode()


def test_a_rate_is_written_once_and_corrected():
    client = browse(make_admin())
    rate = {"date": "2026-01-01", "base": "gbp", "quote": "EUR", "rate": "1.15"}
    assert client.post(f"{ADMIN}crm/exchangerate/add/", rate).status_code == 302
    row = ExchangeRate.objects.get()
    assert client.post(url_of(row), {"rate": "1.16"}).status_code == 302
    assert str(ExchangeRate.objects.get().rate) == "1.1600000000"
    page = client.post(url_of(row), {"rate": "-1"})
    assert page.status_code == 200
    assert "above 0" in str(page.context["errors"]), page.context["errors"]


@pytest.mark.parametrize("name", ["opportunity", "stagechange", "account", "contact", "pipeline"])
def test_a_list_takes_no_query_a_row(name: str, django_assert_max_num_queries: Callable[..., Any]):
    client, rep = browse(make_admin()), make_user()
    for nr in range(12):
        account = Account.objects.create(name=f"Account {nr}", owner=rep)
        contact = Contact.objects.create(full_name=f"Contact {nr}", account=account, owner=rep)
        create_opportunity(
            by=Actor.system(), name="Hedge", account=account, primary_contact=contact, owner=rep
        )
    with django_assert_max_num_queries(16):
        assert client.get(f"{ADMIN}crm/{name}/").status_code == 200
