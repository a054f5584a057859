"""Circuits: whether a provider's model may be called now. One row a model (ProviderHealth), shared by all
pumps, in the database's time.

closed -> open at 5 failures in a row, or when half of the last 20 calls failed; at once when the key is
refused or the model is gone. open -> half_open after 30 s, twice as long each time it opens again, up to
10 minutes: one call tries. It answers: closed. It fails: open. Nothing is heard of it for PROBE_S: another
may try.
"""

import logging
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import connection, transaction
from django.db.models.functions import Now

from ai_agents.llm.base import CallRecord
from ai_agents.models import AgentPool, CircuitState, ProviderHealth
from crm import events

log = logging.getLogger(__name__)

WINDOW = 20
IN_A_ROW = 5
FIRST_S = 30.0
MOST_S = 600.0
PROBE_S = 120.0  # longer than any run lasts
SLOW_MS = 10_000
ANSWERED, FAILED = "+", "-"
NO_ACCESS = ("http_401", "http_402", "http_403")
GONE = "http_404"
_SAYS_NOTHING = ("cancelled",)  # ended by us
_ALIVE = ("http_400", "http_413", "http_422")  # our request is wrong; the model is there


@dataclass(frozen=True, slots=True)
class Circuit:
    """What a pump knows of one model's circuit. `due_s`: until a call may try; 0 or less is now."""

    model: str
    state: str
    due_s: float = 0.0
    is_clean: bool = False  # nothing but answers in its window: more of them change nothing

    @property
    def is_closed(self) -> bool:
        return self.state == CircuitState.CLOSED


@dataclass(slots=True)
class Report:
    """What a model's calls ended in since its circuit was last told, oldest first."""

    marks: str = ""
    reason: str = ""  # of the last failure
    fatal: str = ""  # one that opens at once
    ms: int = 0  # of the calls that took their time
    timed: int = 0
    probes: list[tuple[uuid.UUID, str]] = field(
        default_factory=list
    )  # (token, mark; "" when it says nothing)

    def add(self, call: CallRecord, probe: uuid.UUID | None = None) -> None:
        mark = mark_of(call)
        self.marks += mark
        if mark:
            self.ms += call.ms
            self.timed += 1
        if mark == FAILED:
            self.reason = call.error or call.status
            if call.error == GONE or call.error in NO_ACCESS:
                self.fatal = call.error
        if probe:
            alive = ANSWERED if call.error in _ALIVE else mark
            self.probes.append((probe, alive))


def mark_of(call: CallRecord) -> str:
    """+ for a call that was answered, however badly; - for a failure of the provider; else nothing.

    A 429 says nothing: the model is there, and the pool slows down by itself.
    """
    if call.status in {"ok", "invalid", "refused"}:
        return ANSWERED
    if call.status == "rate_limited" or call.error in _SAYS_NOTHING or call.error in _ALIVE:
        return ""
    return FAILED if call.status in {"timeout", "error"} else ""


def read_circuits(provider: str, models: Iterable[str]) -> dict[str, Circuit]:
    """The circuits of these models; one that nobody has called yet is closed."""
    found = {model: Circuit(model, CircuitState.CLOSED) for model in models}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT model, state, coalesce(extract(epoch FROM retry_at - statement_timestamp()), 0), recent "
            "FROM ai_agents_providerhealth WHERE provider = %s AND model = ANY(%s)",
            [provider, list(found)],
        )
        for model, state, due_s, recent in cursor.fetchall():
            found[model] = Circuit(model, state, float(due_s), recent == ANSWERED * WINDOW)
    return found


def take_probe(provider: str, model: str) -> uuid.UUID | None:
    """The right to make the one call that tries an open circuit. None: not yet, or somebody else has it."""
    token = uuid.uuid4()
    taken = ProviderHealth.objects.filter(
        provider=provider,
        model=model,
        state__in=[CircuitState.OPEN, CircuitState.HALF_OPEN],
        retry_at__lte=Now(),
    ).update(state=CircuitState.HALF_OPEN, probe=token, retry_at=Now() + timedelta(seconds=PROBE_S))
    return token if taken else None


def return_probe(provider: str, model: str, probe: uuid.UUID, *, again_s: float = 0.0) -> None:
    """The call was not made, or said nothing: the next one may be made in `again_s`."""
    ProviderHealth.objects.filter(provider=provider, model=model, probe=probe).update(
        state=CircuitState.OPEN, probe=None, retry_at=Now() + timedelta(seconds=again_s)
    )


@transaction.atomic
def tell_circuit(provider: str, model: str, report: Report, *, others: Sequence[str] = ()) -> None:
    """Count what calls ended in, and open or close the circuit accordingly. Publishes AgentPoolChanged when
    it does.

    A refused key opens the circuits of `others`, the provider's other models, too; an answered probe lets
    those be tried at once.
    """
    circuit, *rest = _locked(provider, model, others if report.fatal in NO_ACCESS or report.probes else ())
    _count(circuit, report)
    if circuit.state == CircuitState.CLOSED:
        if report.fatal or _fails_too_much(circuit.recent):
            for one in (circuit, *(rest if report.fatal in NO_ACCESS else ())):
                _open(one, report.fatal or circuit.reason)
    elif mark := _mark_of_probe(circuit, report):
        if mark == FAILED:
            _open(circuit, report.reason)
            return
        _close(circuit)
        barred = [one.pk for one in rest if one.state == CircuitState.OPEN and one.reason in NO_ACCESS]
        ProviderHealth.objects.filter(pk__in=barred).update(retry_at=Now())
    elif any(token == circuit.probe for token, _ in report.probes):
        return_probe(provider, model, circuit.probe, again_s=FIRST_S)  # type: ignore[arg-type]


def _locked(provider: str, model: str, others: Sequence[str]) -> list[ProviderHealth]:
    """The rows of these models, made where they are missing; `model`'s first. Locked in order of names."""
    models = {model, *others}
    ProviderHealth.objects.bulk_create(
        [ProviderHealth(provider=provider, model=name) for name in sorted(models)], ignore_conflicts=True
    )
    rows = ProviderHealth.objects.select_for_update().filter(provider=provider, model__in=models)
    return sorted(rows.order_by("model"), key=lambda row: row.model != model)


def _count(circuit: ProviderHealth, report: Report) -> None:
    """The window, the moving average, the last reason. An open circuit keeps the reason that opened it."""
    if circuit.state == CircuitState.CLOSED:
        circuit.recent = (circuit.recent + report.marks)[-WINDOW:]
        circuit.failures = len(circuit.recent) - len(circuit.recent.rstrip(FAILED))
        circuit.reason = report.reason or circuit.reason
    changed = ["recent", "failures", "reason", "updated_at"]
    if report.timed:
        now_ms = report.ms // report.timed
        circuit.ms = (3 * circuit.ms + now_ms) // 4 if circuit.ms else now_ms
        changed.append("ms")
    circuit.save(update_fields=changed)
    row = ProviderHealth.objects.filter(pk=circuit.pk)
    if circuit.ms >= SLOW_MS:
        row.filter(slow_since=None).update(slow_since=Now())
    else:
        row.exclude(slow_since=None).update(slow_since=None)


def _fails_too_much(recent: str) -> bool:
    return recent.endswith(FAILED * IN_A_ROW) or (
        len(recent) == WINDOW and recent.count(FAILED) * 2 >= WINDOW
    )


def _mark_of_probe(circuit: ProviderHealth, report: Report) -> str:
    """What the call that tried said. Calls that were in the air when the circuit opened do not count."""
    return next((mark for token, mark in report.probes if token == circuit.probe), "")


def _open(circuit: ProviderHealth, reason: str) -> None:
    """Keeps `opened_at` of the first opening, so that people see since when. One that is open for another
    reason keeps waiting for its own probe.
    """
    if circuit.state == CircuitState.OPEN:
        return
    wait_s = min(MOST_S, FIRST_S * 2 ** min(circuit.opens, 10))
    ProviderHealth.objects.filter(pk=circuit.pk).update(
        state=CircuitState.OPEN,
        probe=None,
        opens=circuit.opens + 1,
        reason=reason,
        opened_at=circuit.opened_at or Now(),
        retry_at=Now() + timedelta(seconds=wait_s),
    )
    log.warning("%s %s is not called for %.0f s: %s", circuit.provider, circuit.model, wait_s, reason)
    _tell()


def _close(circuit: ProviderHealth) -> None:
    ProviderHealth.objects.filter(pk=circuit.pk).update(
        state=CircuitState.CLOSED, probe=None, opens=0, failures=0, recent="", opened_at=None, retry_at=None
    )
    log.info("%s %s is called again", circuit.provider, circuit.model)
    _tell()


def _tell() -> None:
    """Screens look again, and a pump is woken."""
    kind = AgentPool.objects.order_by("pk").values_list("kind", flat=True).first()
    if kind:
        events.publish(events.AgentPoolChanged(kind))
