"""The engine: one event loop that keeps many calls in flight, and one database thread that serves it in
rounds.

A round stores what has ended, then starts what is in hand for the slots that are free; what is in hand is
claimed between rounds. A task holds its slot from its start until its result is stored, so that a crash
repeats at most as many calls as there are slots. No transaction is open while a model thinks, and the loop
goes on reading answers while the thread works.
"""

import asyncio
import contextlib
import logging
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from django.db import Error as DatabaseError
from django.db import connections

from ai_agents.actions.results import Ended
from ai_agents.agents import agent_for
from ai_agents.claims import Ready
from ai_agents.errors import Interrupted, RateLimited
from ai_agents.llm.client import ModelClient
from ai_agents.llm.line import Line
from ai_agents.llm.providers import Provider
from ai_agents.rounds import Desk
from ai_agents.timing import Timing
from crm.errors import is_outage

log = logging.getLogger(__name__)
T = TypeVar("T")
FEW, MANY = 16, 64  # stored and started in one round: few are soon done, many cost less each
DATABASE_AWAY_S = 1.0
# After each answer from the database its thread must get the interpreter back from the busy loop. With
# Python's default of 5 ms a round of forty statements took 307 ms, with this 66 ms.
SWITCH_S = 0.0005


@dataclass(slots=True)
class Flight:
    """A task whose call is in the air, or whose result is not stored yet."""

    ready: Ready
    run: asyncio.Task[None]


@dataclass(slots=True)
class Throttle:
    """How many of a kind this pump keeps in flight after 429s: halved at once, regained one a second
    (AIMD).
    """

    limit: float = float("inf")
    cut_at: float = 0.0

    def cut(self, flying: int, now: float) -> None:
        """A 429 came. One wave of them counts once."""
        if now - self.cut_at >= 1.0:
            self.limit = max(1.0, min(self.limit, flying) / 2)
            self.cut_at = now

    def regain(self, seconds: float) -> None:
        self.limit += seconds


class Pump:
    """One slice: claim for a while, then drain. `on_slot_free` is called once claiming is over and work
    remains.
    """

    def __init__(
        self,
        provider: Provider,
        timing: Timing,
        *,
        on_slot_free: Callable[[], object],
        is_told_to_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.timing = timing
        self.done: Counter[str] = Counter()
        self._desk = Desk(provider, timing)
        self._on_slot_free = on_slot_free
        self._is_told_to_stop = is_told_to_stop
        self._flights: dict[int, Flight] = {}
        self._landed: list[Ended] = []
        self._throttles: dict[str, Throttle] = {}
        self._stopping = False
        self._has_more = False  # slots are free beyond those that the last round could fill

    def take_slot(self, *, wait_s: float = 0) -> bool:
        """Whether a slot was to be had within `wait_s`. Blocks."""
        until = time.monotonic() + wait_s
        while not self._desk.take_slot():
            if time.monotonic() >= until or self._is_told_to_stop():
                return False
            time.sleep(0.5)
        return True

    def run(self) -> str:
        """Serve until the slice is over and drained. Returns one line about it."""
        switch_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        with ThreadPoolExecutor(1, thread_name_prefix="pump-database") as self._thread:
            try:
                asyncio.run(self._main())
            finally:
                self._thread.submit(connections.close_all).result()
                sys.setswitchinterval(switch_s)
        return ", ".join(f"{n} {what}" for what, n in sorted(self.done.items())) or "nothing to do"

    # --- the slice ----------------------------------------------------------------------------------------

    async def _main(self) -> None:
        self._woken = asyncio.Event()
        async with ModelClient(self._desk.provider) as self._client:
            self._desk.switchboard.models = await self._client.offered_models()
            with self._stop_signal():
                keeps_slot = await self._claim_and_serve()
                await self._db(self._desk.claims.put_all_back)
                if keeps_slot and await self._db(self._desk.free_slot):
                    await self._db(self._on_slot_free)
                await self._drain(self.timing.stop_s if self._stopping else self.timing.drain_s)

    async def _claim_and_serve(self) -> bool:
        """Until time is up, there is nothing to do, or we are told to stop. Whether the slot is still
        ours.
        """
        began = busy_at = time.monotonic()
        controlled_at = 0.0
        keeps_slot = True
        while keeps_slot and not self._stopping and time.monotonic() - began < self.timing.claim_for_s:
            now = time.monotonic()
            if now - controlled_at >= self.timing.control_s:
                keeps_slot = await self._control(keeps_slot=True)
                self._regain(now - controlled_at if controlled_at else 0)
                controlled_at = now
            await self._round(self._free())
            if self._flights and not self._landed and self._desk.claims.wants_more():
                await self._db(self._desk.claims.take_ahead)
            if self._flights:
                busy_at = time.monotonic()
            elif time.monotonic() - busy_at > self.timing.linger_s and not await self._is_due_soon(began):
                break
            await self._wait()
        return keeps_slot

    async def _is_due_soon(self, began: float) -> bool:
        """Whether a task falls due while this slice may still claim."""
        due_s = await self._db(self._desk.next_due_s)
        left_s = self.timing.claim_for_s - (time.monotonic() - began)
        return due_s is not None and due_s < left_s

    async def _drain(self, for_s: float) -> None:
        """Finish what is in the air; what is still there after `for_s` goes back to the queue."""
        until = time.monotonic() + for_s
        controlled_at = 0.0
        while self._flights:
            now = time.monotonic()
            if self._stopping:
                until = min(until, now + self.timing.stop_s)
            if now >= until:
                for flight in self._flights.values():
                    flight.run.cancel()
            if now - controlled_at >= self.timing.control_s:
                await self._control(keeps_slot=False)
                controlled_at = now
            await self._round({})
            await self._wait()
            if now > until + 2 * DATABASE_AWAY_S + self.timing.control_s:
                return  # the database is away: the leases will run out

    async def _control(self, *, keeps_slot: bool) -> bool:
        self._desk.held_back = {
            kind: int(throttle.limit)
            for kind, throttle in self._throttles.items()
            if kind in self._desk.claims.orders and throttle.limit < self._desk.claims.orders[kind].target
        }
        held = [flight.ready.task for flight in self._flights.values()]
        lost, keeps_slot = await self._db(self._desk.control, held, keeps_slot=keeps_slot) or (
            set(),
            keeps_slot,
        )
        for pk in lost & set(self._flights):
            self._flights[pk].run.cancel()
        self._stopping = self._stopping or self._is_told_to_stop()
        return keeps_slot

    # --- a round ------------------------------------------------------------------------------------------

    def _free(self) -> dict[str, int]:
        """How many of each kind this pump could start. The start itself keeps to the pool's target
        everywhere.
        """
        flying = Counter(flight.ready.task.kind for flight in self._flights.values())
        free: dict[str, int] = {}
        self._has_more = False
        for kind, order in self._desk.claims.orders.items():
            throttle = self._throttles.setdefault(kind, Throttle())
            slots = int(min(order.target, throttle.limit)) - flying[kind] + self._landing(kind)
            if slots > 0 and self._desk.claims.may_have(kind):
                free[kind] = min(slots, self._at_once)
                self._has_more = self._has_more or slots > self._at_once
        return free

    @property
    def _at_once(self) -> int:
        """How many results the coming round stores, and how many tasks of a kind it starts."""
        return FEW if len(self._landed) < MANY else MANY

    def _landing(self, kind: str) -> int:
        """Of this kind, results that the coming round stores: their slots are free when it starts others."""
        return sum(ended.task.kind == kind for ended in self._landed[: self._at_once])

    async def _round(self, free: dict[str, int]) -> None:
        ended = self._landed[: self._at_once]
        if not ended and not free:
            return
        started = await self._db(self._desk.round, ended, free)
        if started is None:  # the database is away: the same again later
            return
        self._has_more = self._has_more and len(started) == sum(free.values())
        del self._landed[: len(ended)]
        for run in ended:
            del self._flights[run.task.pk]
            self.done[type(run.error).__name__ if run.error else "done"] += 1
        for ready in started:
            run_task = asyncio.create_task(self._fly(ready))
            self._flights[ready.task.pk] = Flight(ready, run_task)

    async def _fly(self, ready: Ready) -> None:
        """Run one agent on one task, and put what it ends in on the landing strip."""
        agent = agent_for(ready.task.kind, ready.task.prompt_version)
        line = Line(self._client, ready.model, ready.price, agent.version)
        ended = Ended(ready.task, ready.facts, line.calls, probe=ready.probe, model=ready.model)
        try:
            async with asyncio.timeout(2 * agent.timeout_s + 5):  # the agent's own code hangs, not its calls
                ended.result = await agent.run(ready.facts, line)
        except asyncio.CancelledError:
            ended.error = Interrupted()
        except RateLimited as error:
            ended.error = error
            self._throttles[ready.task.kind].cut(self._flying(ready.task.kind), time.monotonic())
        except Exception as error:  # every end of a run is an outcome; the pump itself goes on
            ended.error = error
        self._landed.append(ended)
        self._woken.set()

    def _flying(self, kind: str) -> int:
        return sum(flight.ready.task.kind == kind for flight in self._flights.values())

    def _regain(self, seconds: float) -> None:
        for throttle in self._throttles.values():
            throttle.regain(seconds)

    # --- waiting ------------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        """Until something lands, or it is time to look again."""
        if not self._landed and not self._has_more:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.timing.poll_s):
                    await self._woken.wait()
        self._woken.clear()

    async def _db(self, function: Callable[..., T], *args: object, **kwargs: object) -> T | None:
        """Run this in the database thread. None when the database is away; the connection is then made
        anew.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, lambda: function(*args, **kwargs))
        except DatabaseError as error:
            if not is_outage(error):
                raise
            log.warning("the database is away (%s); the pump tries again", type(error).__name__)
            await loop.run_in_executor(self._thread, connections.close_all)
            await asyncio.sleep(DATABASE_AWAY_S)
            return None

    @contextlib.contextmanager
    def _stop_signal(self) -> Iterator[None]:
        """SIGTERM to this process also means: claim no more, drain."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop() -> None:
            self._stopping = True
            self._woken.set()

        loop = asyncio.get_running_loop()
        before = signal.getsignal(signal.SIGTERM)
        loop.add_signal_handler(signal.SIGTERM, stop)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGTERM)
            signal.signal(signal.SIGTERM, before)
