"""The database side of a pump. Everything here runs in the pump's one database thread, in short
transactions.
"""

import os
import socket
import time
import uuid
from collections import Counter
from collections.abc import Collection, Sequence

from ai_agents.actions import pace, queue, slots
from ai_agents.actions.results import Ended, end_runs
from ai_agents.agents import AGENTS
from ai_agents.claims import Claims, Order, Ready
from ai_agents.llm.providers import Provider
from ai_agents.models import AgentPool, AgentTask
from ai_agents.scaling import STEP_S, autoscale
from ai_agents.switchboard import Switchboard
from ai_agents.timing import Timing
from crm.tasks import AI, stamp


class Desk:
    """One pump's dealings with the tables."""

    def __init__(self, provider: Provider, timing: Timing) -> None:
        self.provider = provider
        self.timing = timing
        self.switchboard = Switchboard(provider)
        self.claims = Claims(provider, timing, self.switchboard)
        self.held_back: dict[str, int] = {}  # kind -> calls in flight at most, after 429s
        self.token = uuid.uuid4()
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
                max(due_s, self.switchboard.opens_in_s(self.claims.orders[kind].model))
                for kind, due_s in queue.next_due().items()
                if kind in self.claims.orders and kind not in self.claims.broke
            ),
            default=None,
        )

    # --- once a second ------------------------------------------------------------------------------------

    def control(self, held: Collection[AgentTask], *, keeps_slot: bool) -> tuple[set[int], bool]:
        """Read the pools again, prove progress, hold leases, take back expired ones. `held`: what calls.

        Returns the ids of held tasks that were lost to somebody else, and whether the slot is still ours.
        """
        now = time.monotonic()
        if now - self._scaled_at >= STEP_S:
            autoscale()
            self._scaled_at = now
        pumps = max(1, slots.live_pumps())
        orders = {
            pool.kind: Order.of(pool, pumps=pumps) for pool in AgentPool.objects.all() if pool.kind in AGENTS
        }
        self.switchboard.look([order.model for order in orders.values()])
        self.claims.follow(orders)
        lost: set[int] = set()
        if now - self._renewed_at >= self.timing.renew_s:
            lost = queue.renew([*held, *self.claims.tasks_in_hand], lease_s=self.timing.lease_s)
            self.claims.forget(lost)
            self._renewed_at = now
        if now - self._beat_at >= self.timing.beat_s:
            stamp(f"cluster:{AI}", pump=os.getpid(), running=len(held))
            if keeps_slot:
                keeps_slot = slots.keep_slot(
                    self.token,
                    for_s=self.timing.slot_s,
                    info={"model": self.switchboard.models[0], "held_back": self.held_back},
                )
            self._beat_at = now
        if expired := queue.reap():
            slots.count(self.token, "expired", expired)
        return lost, keeps_slot

    # --- a round ------------------------------------------------------------------------------------------

    def round(self, ended: Sequence[Ended], free: dict[str, int]) -> list[Ready]:
        """Store what has ended, then start what is free: kind -> how many."""
        self.switchboard.hear(ended)
        late = end_runs(ended, down=self.switchboard.down)
        if late:
            slots.count(self.token, "late", late)
        for kind, repairs in Counter(
            run.task.kind for run in ended for call in run.calls if call.is_repair
        ).items():
            pace.book(kind, repairs)
        return [ready for kind, most in free.items() for ready in self.claims.start(kind, most)]
