"""What records were, who changed them and when, through every door."""

import json

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.utils import DatabaseError, IntegrityError
from django.test import Client

from ai_agents.actions.pools import scale_agents
from ai_agents.agents.lead_analysis import BY
from ai_agents.models import AgentPool
from crm.actions.leads import update_lead
from crm.actions.tokens import create_token
from crm.models import HISTORY, Actor, Lead, User, acting, acting_as, history_of
from crm.models.base import VersionedRecord
from crm.tasks import _allowed
from tests.factories import make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


def last(record):
    row = history_of(record).first()
    assert row is not None
    return row


def test_every_editable_root_is_tracked():
    from django.apps import apps

    not_tracked = {"Message", "ImportJob", "ReplyTriage"}  # a machine's own state (ADR 0018)
    roots = {model for model in apps.get_models() if issubclass(model, VersionedRecord)}
    assert {model.__name__ for model in roots - HISTORY.keys()} == not_tracked


def test_the_history_of_a_pool_of_agents_says_who_changed_it_and_stays():
    pool, boss = AgentPool.objects.get(kind="lead_analysis"), make_admin()
    with acting_as(Actor.of(boss)):
        scale_agents(pool.kind, target=pool.target + 1, by=Actor.of(boss))
    row = last(pool)
    assert (row.pgh_label, row.target, row.pgh_context["user"]) == ("update", pool.target, boss.pk)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        type(row).objects.update(target=9)


def test_a_change_keeps_what_was_and_an_insert_keeps_nothing():
    lead = make_lead(company="Old Ltd")
    assert not history_of(lead).exists()
    update_lead(lead.pk, by=Actor.of(make_admin()), company="New Ltd")
    row = last(lead)
    assert (row.pgh_label, row.company, row.public_id) == ("update", "Old Ltd", lead.public_id)
    assert row.pgh_created_at is not None


def test_bulk_and_raw_writes_are_seen_too():
    lead = make_lead(company="One")
    Lead.objects.filter(pk=lead.pk).update(company="Two")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE crm_lead SET company = '50%% off' WHERE id = %s", [lead.pk])
        cursor.execute(f"UPDATE crm_lead SET company = company || '%' WHERE id = {lead.pk}")
        cursor.executemany("UPDATE crm_lead SET company = %s WHERE id = %s", [("Three", lead.pk)])
        assert cursor.rowcount == 1
    assert [row.company for row in history_of(lead)] == ["50% off%", "50% off", "Two", "One"]
    assert {row.pgh_context["kind"] for row in history_of(lead)} == {"system"}


def test_what_is_derived_or_secret_leaves_no_trace():
    lead, user = make_lead(), make_user()
    Lead.objects.filter(pk=lead.pk).update(search_text="x", score=70, score_source="rules", version=9)
    user.set_password("another horse battery")
    user.save()
    assert not history_of(lead).exists()
    assert not history_of(user).exists()
    assert not {"password", "last_login"} & {field.name for field in HISTORY[User]._meta.fields}


def test_a_deleted_record_is_kept_as_it_was():
    team = make_team("North")
    team.delete()
    row = HISTORY[type(team)].objects.get(name="North")
    assert row.pgh_label == "delete"


def test_a_page_puts_the_change_down_to_the_person(client: Client):
    lead, user = make_lead(), make_admin()
    client.force_login(user)
    client.post(f"/leads/{lead.public_id}/fields/company/", {"value": "New", "company": "New", "version": 1})
    assert last(lead).pgh_context == {"kind": "user", "user": user.pk, "label": user.name}


def test_a_token_is_named_beside_its_owner(client: Client):
    lead, user = make_lead(), make_admin()
    text = create_token(user, name="Website", scopes=["read", "write"])[1]
    answer = client.patch(
        f"/api/v1/leads/{lead.public_id}/",
        json.dumps({"company": "New"}),
        content_type="application/json",
        headers={"Authorization": f"Bearer {text}", "If-Match": '"1"'},
    )
    assert answer.status_code == 200, answer.content
    assert last(lead).pgh_context == {"kind": "api", "user": user.pk, "label": "Website"}


def test_a_command_a_task_and_an_agent_are_named():
    lead = make_lead()
    with acting_as(BY):
        Lead.objects.filter(pk=lead.pk).update(company="By agent")
    assert last(lead).pgh_context["label"] == "LeadAnalysisAgent"
    call_command("check", verbosity=0)
    Lead.objects.filter(pk=lead.pk).update(company="By command")
    assert last(lead).pgh_context["kind"] == "system"
    assert "crm.tasks.heartbeat" in _allowed


def test_a_task_of_the_queue_acts_under_its_own_name():
    seen = []
    from crm.tasks import task

    def nightly_sweep():
        seen.append(acting().label)

    path = f"{nightly_sweep.__module__}.{nightly_sweep.__qualname__}"
    try:
        task()(nightly_sweep)
        _allowed[path].function()
    finally:
        _allowed.pop(path, None)
    assert seen == ["task nightly_sweep"]


def test_the_actor_costs_no_statement_of_its_own(django_assert_num_queries):
    lead = make_lead()
    with acting_as(Actor.of(make_user())), django_assert_num_queries(1):
        Lead.objects.filter(pk=lead.pk).update(company="New")


def test_a_change_past_the_product_has_no_actor():
    lead = make_lead()
    with connection.cursor() as cursor:
        cursor.cursor.execute("UPDATE crm_lead SET company = 'psql' WHERE id = %s", [lead.pk])
    assert last(lead).pgh_context is None


def test_history_is_not_rewritten():
    lead = make_lead()
    Lead.objects.filter(pk=lead.pk).update(company="New")
    for change in (lambda rows: rows.update(company="forged"), lambda rows: rows.delete()):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            change(history_of(lead).order_by())


def test_the_admin_shows_who_changed_what_and_when(client: Client, django_assert_max_num_queries):
    admin, owner = make_admin(name="Ada Admin"), make_user(name="Olga Owner")
    lead = make_lead(company="Old Ltd")
    with acting_as(Actor.of(admin)):
        Lead.objects.filter(pk=lead.pk).update(company="New Ltd")
        Lead.objects.filter(pk=lead.pk).update(owner=owner)
    client.force_login(admin)
    with django_assert_max_num_queries(12):
        page = client.get(f"/admin/crm/lead/{lead.pk}/history/").content.decode()
    assert "Ada Admin" in page
    assert "Company: Old Ltd → New Ltd" in page
    assert "Owner: (empty) → Olga Owner" in page


def test_a_foreign_records_history_is_not_shown(client: Client):
    lead = make_lead(company="Old Ltd")
    Lead.objects.filter(pk=lead.pk).update(company="New Ltd")
    client.force_login(make_user("manager"))
    assert "Old Ltd" not in client.get(f"/admin/crm/lead/{lead.pk}/history/", follow=True).content.decode()
