"""What a pump has in hand: claimed tasks with their facts read and money set aside, ready for the next free
slot. Everything here runs in the pump's one database thread, in short transactions.

Reading the facts of the next tasks while the present ones wait for the model keeps slots from standing empty.
A task in hand has made no call: a crash repeats nothing of it and costs nothing.
"""

import logging
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import ceil
from typing import Any

from ai_agents.actions import budget, queue
from ai_agents.actions.calls import price_of
from ai_agents.actions.outcomes import Outcome
from ai_agents.agents import AGENTS, agent_for
from ai_agents.llm.prices import Price
from ai_agents.llm.providers import Provider
from ai_agents.models import AgentPool, AgentTask, TaskState
from ai_agents.switchboard import Permit, Switchboard
from ai_agents.timing import Timing
from crm.errors import is_outage

log = logging.getLogger(__name__)
REPAIR_NOTE_BYTES = 900  # what a repair may add to the prompt
OVER_BUDGET_S = 60.0
AHEAD = 2  # a pool's target over this is what is in hand beside it


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
    model: str = ""  # the pool's own, may be empty
    ahead: int = 0  # in hand beside the target

    @classmethod
    def of(cls, pool: AgentPool, *, pumps: int) -> "Order":
        """A rate a minute is counted at the claim, so such a pool has nothing in hand."""
        target = 0 if pool.paused else ceil(pool.target / pumps)
        return cls(target, pool.model, 0 if pool.rpm else ceil(target / AHEAD))


class Claims:
    """One pump's claims of every kind."""

    def __init__(self, provider: Provider, timing: Timing, switchboard: Switchboard) -> None:
        self.provider = provider
        self.timing = timing
        self.switchboard = switchboard
        self.orders: dict[str, Order] = {}
        self.broke: set[str] = set()  # kinds that the budget does not reach for
        self._in_hand: dict[str, list[Ready]] = defaultdict(list)
        self._looked_at: dict[str, float] = {}  # not again before
        self._prices: dict[str, Price] = {}
        self._dearest: dict[str, Decimal] = {}
        self._claimed: Counter[str] = Counter()
        self._day: date | None = None

    @property
    def tasks_in_hand(self) -> list[AgentTask]:
        return [ready.task for kind in self._in_hand.values() for ready in kind]

    def may_have(self, kind: str) -> bool:
        """Whether asking for tasks of a kind now can bring any."""
        return bool(self._in_hand[kind]) or time.monotonic() >= self._looked_at.get(kind, 0)

    def wants_more(self) -> bool:
        """Whether `take_ahead` has something to do."""
        return any(
            len(self._in_hand[kind]) < order.ahead and time.monotonic() >= self._looked_at.get(kind, 0)
            for kind, order in self.orders.items()
        )

    # --- once a second ------------------------------------------------------------------------------------

    def follow(self, orders: Mapping[str, Order]) -> None:
        """Take over what the pools ask for now, and put back what is in hand beyond it."""
        self.orders = dict(orders)
        self._open_day()
        for kind, in_hand in self._in_hand.items():
            order = self.orders.get(kind, Order(0))
            keep = order.target + order.ahead if order.target else 0
            self._put_back(in_hand[keep:])

    def forget(self, gone: set[int]) -> None:
        """Ids of tasks that are put back, or were lost to somebody else."""
        for kind, in_hand in self._in_hand.items():
            self._in_hand[kind] = [ready for ready in in_hand if ready.task.pk not in gone]

    def put_all_back(self) -> None:
        """Nothing in hand will be started any more."""
        self._put_back([ready for in_hand in self._in_hand.values() for ready in in_hand])

    def _put_back(self, surplus: list[Ready], *, error: str = "", again_s: float = 0.0) -> None:
        if not surplus:
            return
        queue.release([ready.task for ready in surplus], error=error, again_s=again_s)
        for ready in surplus:
            if ready.probe:
                self.switchboard.unused(Permit(ready.model, ready.probe))
        self.forget({ready.task.pk for ready in surplus})

    def _open_day(self) -> None:
        today = queue.today()
        if today != self._day:
            budget.open_day(today)
            self._day = today
            self._prices.clear()

    # --- starting -----------------------------------------------------------------------------------------

    def start(self, kind: str, most: int) -> list[Ready]:
        """Up to `most` tasks that may call a model now: what is in hand, in the order of its claims, then
        others claimed anew.
        """
        self._drop_what_may_not(kind)
        in_hand = self._in_hand[kind]
        if len(in_hand) < most and time.monotonic() >= self._looked_at.get(kind, 0):
            missing = most - len(in_hand)
            got = self._claim(kind, missing)
            self._look_again(kind, got=len(got), wanted=missing)
            in_hand += got
        first = in_hand[:most]
        started = queue.start(kind, [ready.task for ready in first], most_in_all=self.provider.most_in_flight)
        self._in_hand[kind] = [ready for ready in in_hand if ready.task.pk not in started]
        return [ready for ready in first if ready.task.pk in started]

    def take_ahead(self) -> None:
        """Claim what will be started next, up to what each pool has in hand."""
        for kind, order in self.orders.items():
            missing = order.ahead - len(self._in_hand[kind])
            if missing > 0 and order.target and time.monotonic() >= self._looked_at.get(kind, 0):
                permit = self.switchboard.plain_permit(order.model)
                got = self._claim_for(permit, kind, missing) if permit else []
                self._look_again(kind, got=len(got), wanted=missing)
                self._in_hand[kind] += got

    def _look_again(self, kind: str, *, got: int, wanted: int) -> None:
        self._looked_at[kind] = time.monotonic() + (self.timing.poll_s if got < wanted else 0)

    def _drop_what_may_not(self, kind: str) -> None:
        """Put back what waits for a model whose circuit has opened meanwhile, or for money that is gone."""
        if not self._in_hand[kind] or self._day is None:
            return
        down = self.switchboard.down
        self._put_back([one for one in self._in_hand[kind] if one.model in down and not one.probe])
        overdrawn = budget.overdrawn(self._day)
        poor = [one for one in self._in_hand[kind] if overdrawn.intersection(budget.scopes_of(one.task))]
        self._put_back(poor, error="over_budget", again_s=OVER_BUDGET_S)

    # --- claiming -----------------------------------------------------------------------------------------

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
        bounds: Any = {
            "lease_s": self.timing.lease_s,
            "ahead": self.orders[kind].ahead,
            "most_in_all": self.provider.most_in_flight,
        }
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
        except Exception as error:  # the facts of one task break the reading of all: find out which
            if is_outage(error):
                raise
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
        self.broke.discard(kind)
        if affordable <= 0 and budget.mark_stopped(kind, self._day, needed=needed):
            self.broke.add(kind)
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
