"""Bulk acts beside each other and beside people who act on the same records: nobody meets a deadlock."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.core.exceptions import ObjectDoesNotExist
from django.db import connection

from crm import clock
from crm.actions.bulk import start_bulk
from crm.actions.bulk_running import advance_bulk
from crm.actions.leads import assign_lead, update_lead
from crm.actions.opportunities import create_opportunity
from crm.actions.opportunity_moves import move_opportunity
from crm.actions.pipelines import default_pipeline
from crm.actions.tags import tag_record
from crm.errors import CRMError
from crm.models import Actor, BulkRow, BulkState, Job, JobState, Tag, TimelineEvent
from tests.factories import make_admin, make_lead, make_user

pytestmark = pytest.mark.django_db(transaction=True)


def one_by_one(act: Callable[[int], Any], keys: list[int]) -> None:
    """From the last to the first, as a bulk job does not."""
    for key in reversed(keys):
        with suppress(CRMError, ObjectDoesNotExist):
            act(key)


def test_jobs_and_people_act_on_the_same_records_at_once():
    by, mia, tom = Actor.of(make_admin()), make_user(), make_user()
    tag = Tag.objects.create(name="VIP")
    leads = [make_lead(owner=tom) for _ in range(25)]
    first, second = list(default_pipeline().stages.filter(kind="open").order_by("position"))[:2]
    cards = [create_opportunity(by=by, name=f"C{n}", lead=lead, stage=first) for n, lead in enumerate(leads)]
    lead_ids, card_ids = [lead.pk for lead in leads], [card.pk for card in cards]
    of_leads: dict[str, Any] = {"by": by, "ids": [lead.public_id for lead in leads]}
    of_cards: dict[str, Any] = {"by": by, "target": "opportunity", "ids": [card.public_id for card in cards]}
    jobs = [
        start_bulk("tag", tag=tag, **of_leads),
        start_bulk("assign", owner=mia, **of_leads),
        start_bulk("snooze", until=clock.now() + timedelta(days=3), **of_leads),
        start_bulk("stage", stage=second, **of_cards),
        start_bulk("assign", owner=mia, **of_cards),
    ]
    people: list[tuple[Callable[[int], Any], list[int]]] = [
        (lambda key: tag_record("lead", key, by=by, tag=tag), lead_ids),
        (lambda key: assign_lead(key, by=by, owner=tom), lead_ids),
        (lambda key: update_lead(key, by=by, company="Fern & Co"), lead_ids),
        (lambda key: move_opportunity(key, by=by, stage=first), card_ids),
    ]

    def run(what: Callable[..., Any], *given: Any) -> None:
        try:
            what(*given)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(jobs) + len(people)) as pool:
        waiting = [pool.submit(run, partial(advance_bulk, seconds=60), job.pk) for job in jobs]
        waiting += [pool.submit(run, one_by_one, act, keys) for act, keys in people]
        for one in waiting:
            one.result(90)
    assert set(Job.objects.values_list("state", flat=True)) == {JobState.DONE}
    rows = BulkRow.objects.exclude(state=BulkState.WAITING)
    assert rows.count() == 5 * 25
    assert tag.taggings.count() == 25
    assert TimelineEvent.objects.filter(kind="lead.tagged").count() == 25  # by the job or by the person
