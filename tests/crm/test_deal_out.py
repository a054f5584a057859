"""`manage.py deal_out`: the pool goes to people, or it is said who would get it."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from crm.models import Lead
from tests.crm.test_assignment import make_rule
from tests.factories import make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


def run(*args: str) -> str:
    out = StringIO()
    call_command("deal_out", *args, stdout=out)
    return out.getvalue()


def test_the_pool_of_a_team_is_dealt_out():
    team = make_team("Sales")
    ada = make_user(name="Ada", team=team)
    make_rule("round_robin", [ada], name="Turn")
    lead, other = make_lead(name="Bo", team=team), make_lead()
    assert "it was the turn of Ada" in run("--team", "Sales", "--dry-run")
    assert json.loads(run("--team", "Sales", "--dry-run", "--json"))[0]["to"] == "Ada"
    assert Lead.objects.filter(owner=None).count() == 2
    assert json.loads(run("--team", "Sales", "--json")) == {"given": 1}
    lead.refresh_from_db()
    assert lead.owner == ada
    assert Lead.objects.get(owner=None) == other


@pytest.mark.parametrize("args", [("--team", "Nobody"), ("--limit", "0")])
def test_wrong_use_ends_with_2(args):
    with pytest.raises(CommandError) as wrong:
        run(*args)
    assert wrong.value.returncode == 2
