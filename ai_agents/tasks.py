"""Pumps: what the queue runs to move AgentTask rows. With crm.tasks and crm.broker the only modules that
know django_q.

A pump is one plain task that runs an event loop. It claims rows of all kinds for a while, asks the model
for many of them at a time, and stores what comes. Then it lets go of its slot, wakes its successor and
finishes what it has in hand. Killing it at any moment costs at most the calls in flight.
"""

import os
import time
from dataclasses import replace

from django.conf import settings
from django.db import connection, transaction
from django.dispatch import receiver
from django_q.signals import post_spawn

from ai_agents.actions.fitting import refit
from ai_agents.actions.grading import grade_scores
from ai_agents.actions.queue import next_due
from ai_agents.actions.replays import stalled_replays
from ai_agents.actions.requests import request_analysis_batch
from ai_agents.actions.statistics import score_by_statistics, score_next_batch
from ai_agents.llm.providers import Provider, current_provider
from ai_agents.scaling import autoscale
from ai_agents.timing import Timing
from crm import clock, events
from crm.models import Actor, ImportRow, Lead
from crm.tasks import AI, DEFAULT, at_each_heartbeat, cluster_is_stopping, enqueue, task

KICK_AGAIN_S = 10  # a kick that has not become a pump by then is taken for lost
START_WAIT_S = 20  # longer than a slot outlives its pump
SILENT_S = 30  # without a pump, before a heartbeat looks for what is due
IMPORT_SLICE = 300  # leads
STATISTICS_SLICE_S = 20
REPLAY_SLICE_S = 20


@task(cluster=AI, every_minutes=1)
def pump(wait_s: int = 0) -> str:
    """Serve all kinds for one slice, if a slot is free (within `wait_s`). Returns what was done, for the
    queue's log.
    """
    return run_pump(wait_s=wait_s)


@task(cluster=DEFAULT, every_minutes=1)
def autoscale_pools() -> None:
    """Bring pools with nothing to do back to their least; a pump at work moves the others itself."""
    if current_provider().is_on:
        autoscale()


def run_pump(*, wait_s: float = 0, timing: Timing | None = None, provider: Provider | None = None) -> str:
    """One slice in this process; blocks until it is drained. The parameters are for tests and benchmarks."""
    provider = provider or current_provider()
    if not provider.is_on:
        return "AI is off"
    # Loads the model client: 50 MB that web processes never need.
    from ai_agents.pump import Pump

    pump_ = Pump(
        provider,
        timing or _timing(),
        on_slot_free=kick,
        is_told_to_stop=cluster_is_stopping,
    )
    if not pump_.take_slot(wait_s=wait_s):
        return "another pump is at work"
    return pump_.run()


def _timing() -> Timing:
    """The usual one; a watchdog that looks more often is told of progress more often."""
    usual = Timing(**getattr(settings, "AI_TIMING", {}))
    return replace(usual, beat_s=min(usual.beat_s, settings.QUEUE_BEAT_S / 2))


@at_each_heartbeat(AI)
def _look_for_due_tasks() -> None:
    """Tasks that are due while nobody has claimed for long: the kick was lost, or its pump was killed. Not
    sooner: what waits for a budget or an open circuit would be tried for nothing, again and again.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT bool_and(until < now() - %s * interval '1 second') FROM ai_agents_pumplease",
            [SILENT_S],
        )
        [is_silent] = cursor.fetchone()
    if is_silent and min(next_due().values(), default=1) <= 0 and current_provider().is_on:
        kick()


def kick() -> bool:
    """Queue a pump, unless one is claiming already or was queued a moment ago. Own short transaction."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE ai_agents_pumplease SET kicked_at = now() "
                "WHERE slot = (SELECT slot FROM ai_agents_pumplease "
                "WHERE until < now() AND (kicked_at IS NULL OR kicked_at < now() - %s * interval '1 second') "
                "ORDER BY slot LIMIT 1 FOR UPDATE SKIP LOCKED)",
                [KICK_AGAIN_S],
            )
            if not cursor.rowcount:
                return False
        enqueue("ai_agents.tasks.pump")
    return True


@receiver(post_spawn, dispatch_uid="ai_agents.tasks.kick_at_start")
def kick_at_start(**kwargs: object) -> None:
    """A worker of the agents' cluster begins: look for work, and wait for the slot of a pump that was
    killed.
    """
    if os.environ.get("Q_CLUSTER_NAME") != AI:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ai_agents_pumplease SET kicked_at = now() "
            "WHERE slot = 1 AND (kicked_at IS NULL OR kicked_at < now() - %s * interval '1 second')",
            [START_WAIT_S],
        )
        if cursor.rowcount:
            enqueue("ai_agents.tasks.pump", START_WAIT_S)


def kick_on_commit() -> None:
    """Wake a pump once the running transaction is committed. A lost kick costs a minute: the schedule
    kicks too.
    """
    if not any(hook[1] is kick for hook in connection.run_on_commit):
        transaction.on_commit(kick, robust=True)


@task(cluster=DEFAULT)
def analyse_import(import_id: int, analyse: str, after_row: int = 0) -> None:
    """Queue the analyses that an import asked for, a slice at a time: "all", or the best N by rules."""
    if not current_provider().is_on or analyse == "none":
        return
    by = Actor.system("Import")
    rows = ImportRow.objects.filter(job_id=import_id, lead__in=Lead.objects.open())
    if analyse != "all":
        best = Lead.objects.open().filter(pk__in=rows.values("lead_id")).hottest_first()
        chosen = list(best.values_list("pk", flat=True)[: int(analyse)])
        for at in range(0, len(chosen), IMPORT_SLICE):
            request_analysis_batch(chosen[at : at + IMPORT_SLICE], by=by)
    else:
        slice_ = list(
            rows.filter(row_no__gt=after_row)
            .order_by("row_no")
            .values_list("row_no", "lead_id")[:IMPORT_SLICE]
        )
        if slice_:
            with transaction.atomic():
                request_analysis_batch([lead_id for _, lead_id in slice_], by=by)
                enqueue("ai_agents.tasks.analyse_import", import_id, analyse, slice_[-1][0])
    kick()


@task(cluster=DEFAULT, every_minutes=24 * 60)
def refit_statistics() -> str:
    """Book what came of scored leads, and fit the statistical score anew. Returns what was decided."""
    grade_scores(clock.now())
    return refit()


@task(cluster=DEFAULT, every_minutes=10)
def score_all_by_statistics() -> None:
    """Bring the open leads' scores to the active fit, a slice at a time; takes up what was left behind."""
    stop_at = time.monotonic() + STATISTICS_SLICE_S
    while score_next_batch():
        if time.monotonic() >= stop_at or cluster_is_stopping():
            enqueue("ai_agents.tasks.score_all_by_statistics")
            return


@task(cluster=DEFAULT)
def score_import_by_statistics(import_id: int, after_row: int = 0) -> None:
    """Score what an import brought, if a fit is active; in slices."""
    rows = ImportRow.objects.filter(job_id=import_id, row_no__gt=after_row, lead__in=Lead.objects.open())
    slice_ = list(rows.order_by("row_no").values_list("row_no", "lead_id")[:IMPORT_SLICE])
    if slice_ and score_by_statistics([lead_id for _, lead_id in slice_], quietly=True):
        enqueue("ai_agents.tasks.score_import_by_statistics", import_id, slice_[-1][0])


@task(cluster=AI)
def work_on_replay(replay_id: int) -> None:
    """A slice of a replay; the rest is queued behind what else waits."""
    # Loads the model client: 50 MB that web processes never need.
    from ai_agents.replaying import advance_replay

    if advance_replay(replay_id, seconds=REPLAY_SLICE_S):
        enqueue("ai_agents.tasks.work_on_replay", replay_id)


@events.on(events.ReplayDue)
def _replay_is_due(event: events.ReplayDue) -> None:
    enqueue("ai_agents.tasks.work_on_replay", event.replay_id)


@task(cluster=DEFAULT, every_minutes=2)
def resume_replays() -> None:
    """Take up replays whose worker died, or that rested because the provider did not answer."""
    for replay_id in stalled_replays():
        enqueue("ai_agents.tasks.work_on_replay", replay_id)
