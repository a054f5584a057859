"""What the next message is for is told from what happened."""

from datetime import timedelta
from typing import Any

import pytest

from crm import clock
from crm.actions.pipelines import default_pipeline
from crm.actions.purposes import LONG_SILENCE, purposes_of
from crm.models import CallLog, Contact, Lead, Opportunity, Stage, TimelineEvent
from tests.factories import make_lead

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def purpose(*, they: float | None = None, we: float | None = None, call: float | None = None,
            quote: float | None = None, stage: str = "Proposal", lifecycle: str = "") -> str:  # fmt: skip
    """The purpose for a lead on which these things happened so many days ago."""
    now = clock.now()
    at = {"last_inbound_at": they, "last_outbound_at": we}
    lead = make_lead(**{name: now - days * DAY for name, days in at.items() if days is not None})
    if lifecycle:
        lead.contact = Contact.objects.create(full_name="Ada", lifecycle=lifecycle)
        lead.save()
    if call is not None:
        event = TimelineEvent.objects.create(lead=lead, kind="call.logged", actor_kind="user", summary="-")
        CallLog.objects.create(lead=lead, disposition="answered", occurred_at=now - call * DAY, event=event)
    if quote is not None:
        _quoted(lead, stage, now - quote * DAY)
    return purposes_of([lead.pk])[lead.pk]


def _quoted(lead: Lead, stage: str, at: Any) -> None:
    found, _made = Stage.objects.get_or_create(
        pipeline=default_pipeline(), name=stage, defaults={"position": 99}
    )
    Opportunity.objects.create(name="Pond", stage=found, lead=lead, stage_entered_at=at)


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        ({}, "first_answer"),
        ({"they": 1}, "first_answer"),
        ({"they": 1, "we": 2}, "other"),
        ({"they": 2, "we": 1}, "no_reply"),
        ({"they": 1, "we": 1, "call": 1}, "after_call"),
        ({"they": 1, "we": 2, "call": 2}, "other"),
        ({"they": 3, "we": 1, "quote": 2}, "quote_sent"),
        ({"they": 3, "we": 1, "quote": 2, "stage": "Angebot verschickt"}, "quote_sent"),
        ({"they": 3, "we": 1, "quote": 2, "stage": "Qualified"}, "no_reply"),
        ({"they": 3, "we": 1, "quote": 9}, "no_reply"),
        ({"they": 1, "we": 3, "quote": 2}, "other"),
        ({"lifecycle": "customer"}, "renewal"),
        ({"they": 200, "we": 199, "lifecycle": "customer"}, "renewal"),
        ({"they": 200, "we": 199, "lifecycle": "churned"}, "win_back"),
        ({"they": 1, "lifecycle": "churned"}, "first_answer"),
    ],
)
def test_the_purpose_follows_from_who_spoke_last(happened: dict[str, Any], expected: str):
    assert LONG_SILENCE < 199 * DAY
    assert purpose(**happened) == expected


def test_many_leads_take_one_query_and_those_that_are_gone_are_left_out(django_assert_num_queries):
    leads = [make_lead().pk for _ in range(3)]
    with django_assert_num_queries(1):
        found = purposes_of([*leads, 0])
    assert found.keys() == set(leads)
