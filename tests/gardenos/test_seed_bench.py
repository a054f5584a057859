"""Made-up leads for measuring leave the schema and the counts as they have to be."""

from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from crm.actions.counts import recount_dashboard
from crm.models import Contact, Lead, Opportunity, TimelineEvent
from gardenos.management.commands import seed_bench
from gardenos.schema_check import schema_differences

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def as_owner(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(seed_bench, "BIG", 100)
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        yield
        cursor.execute("SET ROLE gardenos_app")


def test_a_big_load_builds_every_index_and_key_again():
    call_command("seed_bench", "--leads", "140")
    assert Lead.objects.count() == 140
    assert Opportunity.objects.count() == Contact.objects.count() == 20
    assert TimelineEvent.objects.count() >= 4 * 140
    assert schema_differences() == []
    assert recount_dashboard() == [], "no count was wrong"


def test_it_goes_on_where_it_was_and_refuses_nonsense():
    call_command("seed_bench", "--leads", "7")
    call_command("seed_bench", "--leads", "14")
    assert Lead.objects.count() == 14
    with pytest.raises(CommandError, match="between 1 and") as refused:
        call_command("seed_bench", "--leads", "0")
    assert refused.value.returncode == 2
