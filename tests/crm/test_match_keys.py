"""Match keys are what the records' data says, and can be made anew."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from crm.actions.accounts import create_account, create_contact
from crm.actions.conversion import convert_lead
from crm.actions.intake import receive_inquiry
from crm.actions.match_keys import put_right, wrong_match_keys
from crm.actions.merging import merge_leads
from crm.models import Actor, KeyKind, MatchKey
from tests.factories import actor, make_admin
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db


def told(*arguments: str) -> str:
    out = StringIO()
    call_command("rebuild_match_keys", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def people() -> None:
    """Leads by intake, one merged and one converted, an account and a contact: all that makes keys."""
    by = actor(make_admin())
    leads = [
        receive_inquiry(
            channel="api",
            payload={
                "name": f"Person {n}", "company": "Engines Ltd", "email": f"p+{n}@engines{n}.example",
                "phone": f"+44 20 7946 00{n}0", "external_id": f"x{n}",
            },
            by=Actor.system(),
        ).lead
        for n in range(4)
    ]  # fmt: skip
    merge_leads(leads[0].pk, leads[1].pk, by=by)
    convert_lead(leads[2].pk, by=by, contact={}, account={}, opportunity=None)
    account = create_account(by=by, name="Ponds", domain="ponds.example")
    create_contact(by=by, full_name="Bo", account=account, email="bo@ponds.example")


def test_what_the_actions_write_is_what_a_rebuild_says(people: None):
    before = state_of_tables()
    assert told("--write") == "0 records with other keys than their data says, 0 put right\n"
    assert state_of_tables() == before
    assert MatchKey.objects.count() > 20


def test_lost_and_foreign_keys_are_told_and_put_right(people: None):
    right = set(MatchKey.objects.values_list("lead", "contact", "account", "kind", "value"))
    lost = MatchKey.objects.filter(kind__in=[KeyKind.EMAIL, KeyKind.DOMAIN, KeyKind.PHONE]).delete()[0]
    lead = MatchKey.objects.filter(lead__isnull=False).first().lead
    MatchKey.objects.create(lead=lead, kind=KeyKind.EMAIL, value="somebody@else.example")
    before = state_of_tables()
    with pytest.raises(CommandError, match="Add --write") as refused:
        told()
    assert (refused.value.returncode, state_of_tables()) == (1, before)
    said = told("--write")
    assert "has email somebody@else.example of nowhere" in said
    assert "lacks domain ponds.example" in said
    assert lost > 10
    assert set(MatchKey.objects.values_list("lead", "contact", "account", "kind", "value")) == right
    assert told("--write", "--json") == ""


def test_what_changed_between_the_look_and_the_writing_is_left(people: None):
    MatchKey.objects.filter(kind=KeyKind.EMAIL, lead__isnull=False).delete()
    found = next(wrong_match_keys())
    lead = found[0].model.objects.get(pk=found[0].pk)
    lead.contact_points.filter(kind="email", is_primary=True).update(norm="new@example.com")
    assert put_right(found, by=Actor.system()) == 1
    assert put_right(next(wrong_match_keys()), by=Actor.system()) == 0
    assert lead.match_keys.filter(value="new@example.com").exists()
