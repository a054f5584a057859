"""The database side of a pump. Everything here runs in the pump's one database thread, in short
transactions.
"""

import logging
import os
import socket
import time
import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import ceil
from typing import Any

from django.db import InterfaceError, OperationalError

from ai_agents.actions import budget, pace, queue, slots
from ai_agents.actions.calls import price_of
from ai_agents.actions.outcomes import Outcome
from ai_agents.actions.results import Ended, end_runs
from ai_agents.agents import AGENTS, agent_for
from ai_agents.llm.prices import Price
from ai_agents.llm.providers import Provider
from ai_agents.models import AgentPool, AgentTask, TaskState
from ai_agents.scaling import STEP_S, autoscale
from ai_agents.switchboard import Permit, Switchboard
from ai_agents.timing import Timing
from crm.tasks import AI, stamp

log = logging.getLogger(__name__)
REPAIR_NOTE_BYTES = 900  # what a repair may add to the prompt
OVER_BUDGET_S = 60.0


@dataclass(frozen=True, slots=True)
class Ready:
    """A claimed task with its facts, and money set aside for its calls."""

    task: AgentTask
    facts: Any
    model: str
    price: Price
    probe: uuid.UUID | None = None  # the run tries the circuit of its model


@dataclass(frozen=True, slots=True)
class Order:
    """What a pool asks of this pump now: its share, when several pumps claim."""

    target: int
    model: str  # the pool's own, may be empty


class Desk:
    """One pump's dealings with the tables."""

    def __init__(self, provider: Provider, timing: Timing) -> None:
        self.provider = provider
        self.timing = timing
        self.switchboard = Switchboard(provider)
        self.token = uuid.uuid4()
        self.orders: dict[str, Order] = {}
        self._prices: dict[str, Price] = {}
        self._dearest: dict[str, Decimal] = {}
        self._broke: set[str] = set()  # kinds that the budget does not reach for
        self._claimed: Counter[str] = Counter()
        self._day: date | None = None
        self._beat_at = self._renewed_at = self._scaled_at = 0.0

    # --- the slot -----------------------------------------------------------------------------------------

    def take_slot(self) -> bool:
        info = {"host": socket.gethostname(), "pid": os.getpid(), "provider": self.provider.name}
        return slots.take_slot(self.token, for_s=self.timing.slot_s, info=info) is not None

    def free_slot(self) -> bool:
        """Let the slot go. Whether work remains that is due within one slice, so that a successor should
        start.
        """
        self.switchboard.tell()
        slots.free_slot(self.token)
        due_s = self.next_due_s()
        return due_s is not None and due_s <= self.timing.claim_for_s

    def next_due_s(self) -> float | None:
        """Seconds until something may be claimed: its time has come, and a model may be called. None: nothing
        is queued, or nothing that today's budget reaches for.
        """
        self.switchboard.look()
        return min(
            (
                max(due_s, self.switchboard.opens_in_s(self.orders[kind].model))
                for kind, due_s in queue.next_due().items()
                if kind in self.orders and kind not in self._broke
            ),
            default=None,
        )

    # --- once a second ------------------------------------------------------------------------------------

    def control(self, held: Collection[AgentTask], *, keeps_slot: bool) -> tuple[set[int], bool]:
        """Read the pools again, prove progress, hold leases, take back expired ones.

        Returns the ids of held tasks that were lost to somebody else, and whether the slot is still ours.
        """
        now = time.monotonic()
        if now - self._scaled_at >= STEP_S:
            autoscale()
            self._scaled_at = now
        pumps = max(1, slots.live_pumps())
        self.orders = {
            pool.kind: Order(0 if pool.paused else ceil(pool.target / pumps), pool.model)
            for pool in AgentPool.objects.all()
            if pool.kind in AGENTS
        }
        self.switchboard.look([order.model for order in self.orders.values()])
        self._open_day()
        lost: set[int] = set()
        if now - self._renewed_at >= self.timing.renew_s:
            lost = queue.renew(held, lease_s=self.timing.lease_s)
            self._renewed_at = now
        if now - self._beat_at >= self.timing.beat_s:
            stamp(f"cluster:{AI}", pump=os.getpid(), running=len(held))
            if keeps_slot:
                keeps_slot = slots.keep_slot(
                    self.token, for_s=self.timing.slot_s, info={"model": self.switchboard.models[0]}
                )
            self._beat_at = now
        if expired := queue.reap():
            slots.count(self.token, "expired", expired)
        return lost, keeps_slot

    def _open_day(self) -> None:
        today = queue.today()
        if today != self._day:
            budget.open_day(today)
            self._day = today
            self._prices.clear()

    # --- a round ------------------------------------------------------------------------------------------

    def round(self, ended: Sequence[Ended], wanted: dict[str, int]) -> list[Ready]:
        """Store what has ended, then claim what is wanted: kind -> how many."""
        self.switchboard.hear(ended)
        late = end_runs(ended, down=self.switchboard.down)
        if late:
            slots.count(self.token, "late", late)
        for kind, repairs in Counter(
            run.task.kind for run in ended for call in run.calls if call.is_repair
        ).items():
            pace.book(kind, repairs)
        return [ready for kind, most in wanted.items() for ready in self._claim(kind, most)]

    def _claim(self, kind: str, most: int) -> list[Ready]:
        """For each model that may be called: one task as its circuit's probe, else all there is room for."""
        ready: list[Ready] = []
        for permit in self.switchboard.permits(self.orders[kind].model):
            room = 1 if permit.probe else most - len(ready)
            got = self._claim_for(permit, kind, min(room, most - len(ready)))
            if not got:
                self.switchboard.unused(permit)
            ready += got
        return ready

    def _claim_for(self, permit: Permit, kind: str, most: int) -> list[Ready]:
        price = self._price(permit.model)
        most = min(most, self._affordable(kind, most))
        if most <= 0:
            return []
        first, oldest_first = most, self._is_oldest_turn(kind)
        tasks: list[AgentTask] = []
        bounds: Any = {"lease_s": self.timing.lease_s, "most_in_all": self.provider.most_in_flight}
        if oldest_first:
            tasks = queue.claim(kind, 1, oldest_first=True, **bounds)
            first -= len(tasks)
        if first > 0:
            tasks += queue.claim(kind, first, **bounds)
        self._claimed[kind] += len(tasks)
        read = self._read(kind, tasks)
        return self._reserve(permit, kind, read, price)

    def _is_oldest_turn(self, kind: str) -> bool:
        """Once in a while the task that waited longest goes first, so that no priority starves."""
        if self._claimed[kind] < queue.OLDEST_SHARE:
            return False
        self._claimed[kind] = 0
        return True

    def _read(self, kind: str, tasks: list[AgentTask]) -> list[tuple[AgentTask, Any]]:
        """The tasks with their facts. One that cannot be read ends here; it must not stop the others."""
        try:
            facts = AGENTS[kind].read(tasks) if tasks else []
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # the facts of one task break the reading of all: find out which
            if len(tasks) > 1:
                return [pair for task in tasks for pair in self._read(kind, [task])]
            log.exception("the facts of task %s cannot be read", tasks[0].pk)
            queue.end(tasks, Outcome(TaskState.DEAD, f"facts_unreadable:{type(error).__name__}"[:60]))
            return []
        gone = [task for task, found in zip(tasks, facts, strict=True) if found is None]
        if gone:
            queue.end(gone, Outcome(TaskState.CANCELLED, "nothing_to_read"))
        return [(task, found) for task, found in zip(tasks, facts, strict=True) if found is not None]

    # --- money --------------------------------------------------------------------------------------------

    def _price(self, model: str) -> Price:
        if model not in self._prices:
            self._prices[model] = price_of(self.provider.name, model, self._day or queue.today())
        return self._prices[model]

    def _affordable(self, kind: str, most: int) -> int:
        """How many of the dearest tasks seen so far the budget still holds."""
        price = self._price(self.switchboard.order(self.orders[kind].model)[0])
        least = price.worst(0, max_tokens=AGENTS[kind].max_tokens) * budget.CALLS_PER_RUN
        needed = max(least, self._dearest.get(kind, Decimal(0)))
        if not needed or self._day is None:
            return most
        affordable = int(budget.left(kind, self._day) / needed)
        self._broke.discard(kind)
        if affordable <= 0 and budget.mark_stopped(kind, self._day, needed=needed):
            self._broke.add(kind)
        return affordable

    def _reserve(
        self, permit: Permit, kind: str, read: list[tuple[AgentTask, Any]], price: Price
    ) -> list[Ready]:
        worst: list[tuple[AgentTask, Decimal]] = []
        for task, facts in read:
            agent = agent_for(kind, task.prompt_version)
            prompt_bytes = sum(len(text.encode("utf-8", "replace")) for text in agent.messages(facts))
            run_usd = (
                price.worst(prompt_bytes + REPAIR_NOTE_BYTES, max_tokens=agent.max_tokens)
                * budget.CALLS_PER_RUN
            )
            worst.append((task, run_usd))
        granted = {task.pk for task in budget.reserve(worst)}
        self._dearest[kind] = max([self._dearest.get(kind, Decimal(0)), *(usd for _, usd in worst)])
        refused = [task for task, _ in worst if task.pk not in granted]
        if refused:
            queue.release(refused, again_s=OVER_BUDGET_S, error="over_budget")
        return [
            Ready(task, facts, permit.model, price, permit.probe)
            for task, facts in read
            if task.pk in granted
        ]
