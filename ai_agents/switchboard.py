"""Which model a pump calls now: the first wanted one whose circuit is closed, and one try for each before it
whose time has come. Used in the pump's database thread only.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from ai_agents.actions import circuits
from ai_agents.actions.circuits import Circuit, Report
from ai_agents.actions.results import Ended
from ai_agents.llm.providers import Provider
from ai_agents.models import CircuitState

TELL_EVERY_S = 5.0  # about calls that all went well


@dataclass(frozen=True, slots=True)
class Permit:
    """To call this model: as often as there are slots, or once, as the probe of its circuit."""

    model: str
    probe: UUID | None = None


class Switchboard:
    """One pump's view of the circuits of its provider, and its reports to them."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.models = provider.models  # those offered, in the order in which they are wanted
        self._circuits: dict[str, Circuit] = {}
        self._own: set[str] = set()  # models that pools name for themselves
        self._reports: dict[str, Report] = defaultdict(Report)
        self._told_at = 0.0

    @property
    def down(self) -> set[str]:
        """Models whose circuit is not closed."""
        return {model for model, circuit in self._circuits.items() if not circuit.is_closed}

    def order(self, pool_model: str = "") -> tuple[str, ...]:
        """The models for a pool, in order: its own first, then those of the settings."""
        return tuple(dict.fromkeys([pool_model, *self.models] if pool_model else self.models))

    def look(self, pool_models: Sequence[str] = ()) -> None:
        """Read the circuits again."""
        self._own.update(model for model in pool_models if model)
        self._circuits = circuits.read_circuits(self.provider.name, [*self.models, *self._own])

    def permits(self, pool_model: str = "") -> list[Permit]:
        """What may be called for this pool now: one probe for each circuit whose time has come, and a closed
        model.

        A probe that is not used goes back by `unused`.
        """
        found: list[Permit] = []
        for model in self.order(pool_model):
            circuit = self._circuits.get(model)
            if circuit is None or circuit.is_closed:
                return [*found, Permit(model)]
            if circuit.due_s <= 0 and (probe := circuits.take_probe(self.provider.name, model)):
                found.append(Permit(model, probe))
                self._circuits[model] = Circuit(model, CircuitState.HALF_OPEN, circuits.PROBE_S)
        return found

    def plain_permit(self, pool_model: str = "") -> Permit | None:
        """The first closed model for this pool; None while a circuit before it may be tried, or none is
        closed.
        """
        for model in self.order(pool_model):
            circuit = self._circuits.get(model)
            if circuit is None or circuit.is_closed:
                return Permit(model)
            if circuit.due_s <= 0:
                return None
        return None

    def unused(self, permit: Permit) -> None:
        """No call was made on this permit."""
        if permit.probe:
            circuits.return_probe(self.provider.name, permit.model, permit.probe)
            self._circuits[permit.model] = Circuit(permit.model, CircuitState.OPEN)

    def opens_in_s(self, pool_model: str = "") -> float:
        """Seconds until a call may be made for this pool; 0 when one may now."""
        found = [self._circuits.get(model) for model in self.order(pool_model)]
        return min(
            (circuit.due_s if circuit and not circuit.is_closed else 0.0 for circuit in found), default=0.0
        )

    def hear(self, ended: Sequence[Ended]) -> None:
        """Tell the circuits what these runs ended in: failures and probes at once, the rest now and then."""
        for run in ended:
            if run.is_heard:
                continue
            run.is_heard = True
            for nr, call in enumerate(run.calls, 1):
                self._reports[call.model].add(call, run.probe if nr == len(run.calls) else None)
            if run.probe and not run.calls:
                circuits.return_probe(self.provider.name, run.model, run.probe)
        is_urgent = any(r.probes or circuits.FAILED in r.marks for r in self._reports.values())
        if is_urgent or time.monotonic() - self._told_at >= TELL_EVERY_S:
            self.tell()

    def tell(self) -> None:
        """Report what was heard and not told yet."""
        if not self._reports:
            return
        for model in sorted(self._reports):
            others = [other for other in (*self.models, *self._own) if other != model]
            circuits.tell_circuit(self.provider.name, model, self._reports[model], others=others)
            del self._reports[model]
        self._told_at = time.monotonic()
        self.look()
