"""Ends runs: books their calls, then stores each result once, by whoever still holds the lease."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from ai_agents.actions import budget, queue
from ai_agents.actions.calls import record_calls
from ai_agents.actions.follow_on import FOLLOW_ON
from ai_agents.actions.outcomes import DONE, OVERTAKEN, Outcome, outcome_of
from ai_agents.agents import AGENTS
from ai_agents.agents.base import Finished
from ai_agents.llm.base import CallRecord
from ai_agents.models import AgentTask, TaskState
from crm.errors import is_outage

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Ended:
    """One run of one task: its result or the error it ended in, and the calls it made."""

    task: AgentTask
    facts: Any
    calls: list[CallRecord] = field(default_factory=list)
    result: Any = None
    error: BaseException | None = None
    probe: UUID | None = None  # of the circuit that this run tries
    model: str = ""
    is_heard: bool = False  # by the circuits
    is_booked: bool = False  # its calls; the rest may have to be tried again

    @property
    def spent(self) -> Decimal:
        return budget.spent_by(self.calls)

    @property
    def finished(self) -> Finished:
        last = self.calls[-1] if self.calls else None
        return Finished(
            self.task, self.facts, self.result, last.provider if last else "", last.model if last else ""
        )


def end_runs(ended: Sequence[Ended], *, down: Collection[str] = ()) -> int:
    """Book and store these runs. Returns how many came too late: their lease had gone to somebody else.
    `down`: models whose circuit is open.

    Calls are booked first and in any case. Results of a kind are stored together; when one of them cannot be
    stored the rest is tried one by one and that one dies `not_stored`.
    """
    if not ended:
        return 0
    unbooked = [run for run in ended if not run.is_booked]
    with transaction.atomic():
        record_calls([(run.task, run.calls) for run in unbooked])
    for run in unbooked:
        run.is_booked = True
    failed = [run for run in ended if run.error]
    late = _end_failed(failed, down) if failed else 0
    for kind, runs in _batches([run for run in ended if not run.error]):
        late += _store(kind, runs)
    return late


def _batches(runs: Sequence[Ended]) -> list[tuple[str, list[Ended]]]:
    """By kind, and at most one a lead in each batch: two results of one lead are stored one after the
    other.
    """
    batches: dict[tuple[str, int], list[Ended]] = defaultdict(list)
    seen: Counter[tuple[str, int | None]] = Counter()
    for run in sorted(runs, key=lambda run: run.task.pk):
        lead = (run.task.kind, run.task.lead_id)
        batches[run.task.kind, seen[lead]].append(run)
        seen[lead] += 1
    return [(kind, batches[kind, turn]) for kind, turn in sorted(batches)]


def _end_failed(runs: Sequence[Ended], down: Collection[str]) -> int:
    """Runs that ended in an error: back to the queue, or dead."""
    return _finish(
        [(run, outcome_of(run.task, run.error, is_down=run.model in down)) for run in runs if run.error]
    )


def _store(kind: str, runs: Sequence[Ended]) -> int:
    try:
        return _finish([(run, DONE) for run in runs], _keeper(kind))
    except Exception as error:  # whatever is wrong with one result, the others and the pump go on
        if is_outage(error):
            raise  # the pump tries again
        if len(runs) > 1:
            return sum(_store(kind, [run]) for run in runs)
        log.exception("the result of task %s cannot be stored", runs[0].task.pk)
        return _finish([(runs[0], Outcome(TaskState.DEAD, f"not_stored:{type(error).__name__}"[:60]))])


def _keeper(kind: str) -> Callable[[Sequence[Finished]], None]:
    """What keeps the results of a kind: its agent, and then what its results lead to."""

    def keep(finished: Sequence[Finished]) -> None:
        AGENTS[kind].store(finished)
        if kind in FOLLOW_ON:
            FOLLOW_ON[kind](finished)

    return keep


@transaction.atomic
def _finish(
    outcomes: Sequence[tuple[Ended, Outcome]], recorder: Callable[[Sequence[Finished]], None] | None = None
) -> int:
    """Fence, store, settle and mark in one transaction. Returns how many were no longer ours."""
    held = {task.pk for task in queue.lock_held([run.task for run, _ in outcomes])}
    ours = [(run, outcome) for run, outcome in outcomes if run.task.pk in held]
    if recorder and ours:
        stale = queue.overtaken([run.task for run, _ in ours])
        ours = [(run, OVERTAKEN if run.task.pk in stale else outcome) for run, outcome in ours]
        if fresh := [run.finished for run, outcome in ours if outcome is not OVERTAKEN]:
            recorder(fresh)
    budget.settle([(run.task, run.spent) for run, _ in ours])
    for run, _ in outcomes:
        if run.task.pk not in held:
            budget.book_late(run.task, run.spent)
    queue.finish([(run.task, outcome) for run, outcome in ours])
    return len(outcomes) - len(ours)
