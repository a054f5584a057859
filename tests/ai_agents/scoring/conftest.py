"""Leads with outcomes that depend on a custom field, so that there is something to learn."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from crm import clock
from crm.models import Channel, CustomField, Inquiry, InquiryState, Lead, Outcome
from tests.factories import make_source

MakeHistory = Callable[..., list[Lead]]


@pytest.fixture
def job_field(db: None) -> CustomField:
    return CustomField.objects.create(key="job", label="Job", type="choice", options=["Owner", "Student"])


@pytest.fixture
def make_history(job_field: CustomField) -> MakeHistory:
    """Leads of which owners are won four times out of five, students once; every fifth is held out."""

    def make(count: int = 200, *, turned: bool = False, **fields: object) -> list[Lead]:
        now, source = clock.now(), make_source("web")
        leads = []
        for n in range(count):
            is_owner = n % 2 == 0
            won = (n // 2 % 5 != 0) == (is_owner != turned)
            values = {
                "name": f"Lead {n}",
                "source": source,
                "public_id": _public_id(n // 10 % 5 == 0),
                "custom": {"job": "Owner" if is_owner else "Student"},
                "outcome": Outcome.WON if won else Outcome.LOST,
                "outcome_at": now - timedelta(days=1),
                "outcome_from": "action",
            }
            leads.append(Lead(**values | fields))
        Lead.objects.bulk_create(leads)
        Lead.objects.filter(pk__in=[lead.pk for lead in leads]).update(created_at=now - timedelta(days=20))
        Inquiry.objects.bulk_create(
            Inquiry(
                source=source,
                channel=Channel.FORM,
                lead=lead,
                state=InquiryState.CREATED,
                payload={"name": lead.name, "email": "a@example.com"},
                received_at=now - timedelta(days=20),
            )
            for lead in leads
        )
        return leads

    return make


def _public_id(is_held_out: bool) -> UUID:
    while True:
        public_id = uuid4()
        if (public_id.int % 5 == 0) == is_held_out:
            return public_id
