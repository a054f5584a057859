"""Until when to answer: by the source's span, in the owner's hours. The database keeps it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from crm.models import LeadSource
from tests.factories import make_lead, make_source, make_user

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
NINE_TO_FIVE = {day: ["09:00", "17:00"] for day in ("mon", "tue", "wed", "thu", "fri")}
FRIDAY = datetime(2026, 11, 20, 16, 30, tzinfo=UTC)


def due(lead) -> Any:
    lead.refresh_from_db()
    return lead.answer_due_at


@pytest.fixture
def source() -> LeadSource:
    source = make_source("quick")
    source.answer_minutes = 60
    source.save()
    return source


@pytest.mark.parametrize(
    ("hours", "zone", "asked", "expected"),
    [
        ({}, "UTC", FRIDAY, FRIDAY + HOUR),
        (NINE_TO_FIVE, "UTC", FRIDAY, datetime(2026, 11, 23, 9, 30, tzinfo=UTC)),
        (NINE_TO_FIVE, "UTC", FRIDAY.replace(hour=3), FRIDAY.replace(hour=10, minute=0)),
        (NINE_TO_FIVE, "America/New_York", FRIDAY, FRIDAY + HOUR),
        (
            {"thu": ["22:00", "06:00"]},
            "UTC",
            FRIDAY.replace(hour=5),
            datetime(2026, 11, 26, 22, 30, tzinfo=UTC),
        ),
        ({"sun": "closed"}, "UTC", FRIDAY, FRIDAY + HOUR),
        ({"fri": ["nine", "five"]}, "UTC", FRIDAY, FRIDAY + HOUR),
        (NINE_TO_FIVE, "Nowhere/At_All", FRIDAY, FRIDAY + HOUR),
    ],
    ids=["always", "over a weekend", "before work", "their zone", "at night", "never", "no hours", "no zone"],
)
def test_the_span_runs_in_the_owners_hours(source, hours, zone, asked, expected):
    owner = make_user(working_hours=hours, time_zone=zone)
    assert due(make_lead(source=source, owner=owner, last_inbound_at=asked)) == expected


def test_it_starts_with_a_message_and_ends_with_an_answer(source):
    lead = make_lead(source=source)
    assert due(lead) is None
    lead.last_inbound_at = FRIDAY
    lead.save()
    assert due(lead) == FRIDAY + HOUR
    lead.last_inbound_at = FRIDAY + HOUR / 2
    lead.save()
    assert due(lead) == FRIDAY + HOUR, "who asks again does not wait longer"
    lead.last_outbound_at = FRIDAY + HOUR
    lead.save()
    assert due(lead) is None


def test_another_owner_has_another_clock(source):
    lead = make_lead(source=source, last_inbound_at=FRIDAY)
    lead.owner = make_user(working_hours=NINE_TO_FIVE)
    lead.save()
    assert due(lead) == datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


def test_it_runs_from_the_first_message_that_waits_whoever_has_the_lead(source):
    lead = make_lead(source=source, last_inbound_at=FRIDAY - 9 * HOUR, last_outbound_at=FRIDAY - 8 * HOUR)
    for asked in (FRIDAY, FRIDAY + HOUR / 2):
        lead.last_inbound_at = asked
        lead.save()
    lead.owner = make_user()
    lead.save()
    assert due(lead) == FRIDAY + HOUR
    lead.last_outbound_at = FRIDAY + HOUR
    lead.save()
    lead.last_outbound_at = FRIDAY - 8 * HOUR  # that answer is taken back
    lead.save()
    assert due(lead) == FRIDAY + HOUR


def test_nobody_can_set_it_by_hand(source):
    lead = make_lead(source=source)
    lead.answer_due_at = lead.asked_at = FRIDAY
    lead.save()
    assert due(lead) is None
    assert lead.asked_at is None


@pytest.mark.parametrize("minutes", [0, 43_201])
def test_a_span_lies_between_a_minute_and_thirty_days(source, minutes):
    with pytest.raises(IntegrityError), transaction.atomic():
        LeadSource.objects.filter(pk=source.pk).update(answer_minutes=minutes)
    LeadSource.objects.filter(pk=source.pk).update(answer_minutes=43_200)
