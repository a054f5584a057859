"""The replay lab: choose past leads, and compare what each arm answered. Who asks is ai_agents.replaying."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from ai_agents.actions.prompts import kind_of, prompt_in_use
from ai_agents.agents import LeadAnalysisAgent
from ai_agents.llm.providers import current_provider
from ai_agents.models import AgentPool, AnswerState, Arm, Replay, ReplayAnswer, ReplayState
from ai_agents.scoring.measures import measure
from crm import clock, events
from crm.actions.audit import audit
from crm.errors import AIUnavailable, InvalidValue, OutOfBounds, TransitionRefused
from crm.models import Actor, ActorKind, Lead, Outcome, band_of
from crm.permissions import Verb, require

KIND = LeadAnalysisAgent.kind  # the only kind whose answers have outcomes to be held against
LEAST_LEADS, MOST_LEADS = 2, 2_000
KNOWN_DAYS = 14
BUSY_S = 90
MOST_TRIES = 3
EXAMPLES = 20


@transaction.atomic
def start_replay(
    prompt: str = "", *, by: Actor, model: str = "", leads: int = 200, known_days: int = KNOWN_DAYS
) -> Replay:
    """Ask about the `leads` newest leads with an outcome, with the prompt and model in use and with these.

    The model is shown what was known `known_days` after the lead came, and nothing from its outcome on; of
    what came later than that the six newest texts of a kind hide older ones, and fields have no dates: they
    are shown as they are now. Costs money as any call, under the budgets "all" and "replay". Raises
    PermissionRefused, InvalidValue, OutOfBounds, AIUnavailable, and TransitionRefused when one runs already.
    Publishes ReplayDue.
    """
    if by.kind != ActorKind.SYSTEM:  # whoever holds the machine and its commands is trusted
        require(by, Verb.SET_UP)
    provider = current_provider()
    if not provider.is_on:
        raise AIUnavailable(_("AI is switched off (AI_PROVIDER=off)."))
    if not LEAST_LEADS <= leads <= MOST_LEADS:
        raise OutOfBounds(_("Choose from %d to %d leads.") % (LEAST_LEADS, MOST_LEADS), field="leads")
    if not 0 <= known_days <= 3_650:
        raise OutOfBounds(_("Choose from 0 to 3,650 days."), field="known_days")
    if Replay.objects.filter(state=ReplayState.RUNNING).exists():
        raise TransitionRefused(_("A replay is running; wait for its end or stop it."))
    present_prompt = prompt_in_use(KIND)
    present_model = _model_in_use(provider.models[0])
    prompt, model = prompt or present_prompt, model.strip() or present_model
    if kind_of(prompt) != KIND:
        raise InvalidValue(_("Only prompts of %s have outcomes to be held against.") % KIND, field="prompt")
    if (prompt, model) == (present_prompt, present_model):
        raise InvalidValue(_("That is what is in use: name another prompt or model."), field="prompt")
    if len(model) > 120:
        raise InvalidValue(_("A model's name may have 120 characters."), field="model")
    cases = list(_cases(leads))
    if len({outcome for _pk, outcome, *_times in cases}) < 2:
        raise TransitionRefused(
            _("There are too few leads with an outcome: both won and lost ones are needed.")
        )
    replay = Replay.objects.create(
        kind=KIND, provider=provider.name, present_prompt=present_prompt, present_model=present_model,
        candidate_prompt=prompt, candidate_model=model, leads=len(cases), known_days=known_days,
        requested_by=by.user,
    )  # fmt: skip
    ReplayAnswer.objects.bulk_create(
        ReplayAnswer(
            replay=replay,
            arm=arm,
            lead_key=pk,
            won=outcome == Outcome.WON,
            known_until=min(created_at + timedelta(days=known_days), outcome_at),
        )
        for pk, outcome, created_at, outcome_at in cases
        for arm in Arm.values
    )
    audit(
        "replay.started",
        f"asks about {len(cases)} past leads with {prompt}",
        by=by,
        target=replay,
        model=model,
    )
    events.publish(events.ReplayDue(replay.pk))
    return replay


@transaction.atomic
def stop_replay(replay_id: int, *, by: Actor) -> Replay:
    """Ask nothing more; what was answered is compared. Raises Replay.DoesNotExist, PermissionRefused."""
    if by.kind != ActorKind.SYSTEM:
        require(by, Verb.SET_UP)
    replay = Replay.objects.select_for_update().get(pk=replay_id)
    if replay.state == ReplayState.RUNNING:
        end_replay(replay, ReplayState.STOPPED, note=_("Stopped by %s.") % (by.label or by.user))
    return replay


def end_replay(replay: Replay, state: ReplayState, *, note: str = "") -> None:
    """Write the comparison and the end."""
    replay.state, replay.note, replay.busy_until = state, note[:200], None
    replay.report, replay.finished_at = report(replay), clock.now()
    replay.save()


def take_replay(replay_id: int) -> Replay | None:
    """A running replay that nobody works on, leased to the caller for BUSY_S; by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ai_agents_replay SET busy_until = now() + %s * interval '1 second' WHERE id = %s "
            "AND state = 'running' AND (busy_until IS NULL OR busy_until < now())",
            [BUSY_S, replay_id],
        )
        taken = bool(cursor.rowcount)
    return Replay.objects.get(pk=replay_id) if taken else None


def leave_replay(replay: Replay) -> None:
    Replay.objects.filter(pk=replay.pk).update(busy_until=None)


def stalled_replays() -> list[int]:
    """Running replays that nobody works on."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM ai_agents_replay WHERE state = 'running' "
            "AND (busy_until IS NULL OR busy_until < now())"
        )
        return [row[0] for row in cursor.fetchall()]


def _cases(leads: int) -> Iterable[tuple[int, str, datetime, datetime]]:
    """(key, outcome, came, outcome's time) of the newest leads with an outcome that an agent may read."""
    return (
        Lead.objects.live()
        .filter(outcome__in=[Outcome.WON, Outcome.LOST], is_ai_off=False)
        .order_by("-outcome_at", "-pk")
        .values_list("pk", "outcome", "created_at", "outcome_at")[:leads]
    )


def _model_in_use(default: str) -> str:
    model = AgentPool.objects.filter(kind=KIND).values_list("model", flat=True).first()
    return model or default


# --- comparing --------------------------------------------------------------------------------------------


def report(replay: Replay) -> dict[str, Any]:
    """{"arms": {arm: {...}}, "pairs", "changed_bands", "changed_actions", "examples"}, ready for JSON.

    Each arm: asked, answered, invalid_share, usd, usd_per_lead, and over the leads that both arms answered
    auc, brier, ece, base_brier, base_rate (null with one outcome alone). The fit divided by 100 is taken as
    the probability; nothing calibrates it. A decision is the band and the recommended action.
    """
    answers = list(replay.answers.exclude(state=AnswerState.WAITING).order_by("lead_key"))
    by_arm = {arm: {row.lead_key: row for row in answers if row.arm == arm} for arm in Arm.values}
    pairs = [
        (row, by_arm[Arm.CANDIDATE][key])
        for key, row in by_arm[Arm.PRESENT].items()
        if row.fit is not None and key in by_arm[Arm.CANDIDATE] and by_arm[Arm.CANDIDATE][key].fit is not None
    ]
    bands = [pair for pair in pairs if band_of(pair[0].fit or 0) != band_of(pair[1].fit or 0)]
    actions = [pair for pair in pairs if pair[0].action != pair[1].action]
    changed = sorted({**dict.fromkeys(bands), **dict.fromkeys(actions)}, key=_distance, reverse=True)
    return {
        "arms": {
            arm: _arm(list(by_arm[arm].values()), [pair[place] for pair in pairs])
            for place, arm in enumerate((Arm.PRESENT.value, Arm.CANDIDATE.value))
        },
        "pairs": len(pairs),
        "changed_bands": len(bands),
        "changed_actions": len(actions),
        "examples": [
            {
                "lead": a.lead_key,
                "won": a.won,
                "present": [a.fit, a.action],
                "candidate": [b.fit, b.action],
            }
            for a, b in changed[:EXAMPLES]
        ],
    }


def _distance(pair: tuple[ReplayAnswer, ReplayAnswer]) -> int:
    return abs((pair[0].fit or 0) - (pair[1].fit or 0))


def _arm(rows: Sequence[ReplayAnswer], paired: Sequence[ReplayAnswer]) -> dict[str, Any]:
    asked = [row for row in rows if row.state != AnswerState.UNREAD]
    bad = sum(row.state in {AnswerState.INVALID, AnswerState.REFUSED} for row in asked)
    usd = sum((row.cost_usd for row in rows), Decimal(0))
    found: dict[str, Any] = {
        "asked": len(asked),
        "answered": sum(row.fit is not None for row in asked),
        "invalid_share": round(bad / len(asked), 6) if asked else None,
        "failed": sum(row.state == AnswerState.FAILED for row in asked),
        "usd": float(usd),
        "usd_per_lead": round(float(usd) / len(asked), 6) if asked else None,
    }
    try:
        measured: dict[str, Any] = dict(
            measure([int(row.won) for row in paired], [(row.fit or 0) / 100 for row in paired]).as_json()
        )
    except (ValueError, ZeroDivisionError):  # no pairs, or one outcome alone
        measured = dict.fromkeys(("auc", "brier", "ece", "base_brier", "base_rate"))
    return found | {name: measured[name] for name in ("auc", "brier", "ece", "base_brier", "base_rate")}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the side-by-side table, as text."""

    name: str
    present: str
    candidate: str


def table(replay: Replay) -> list[Line]:
    """The report side by side, for pages and the command; empty before there is one."""
    arms = replay.report.get("arms")
    if not arms:
        return []
    a, b = arms[Arm.PRESENT], arms[Arm.CANDIDATE]
    names = (
        ("asked", _("Leads asked about")), ("answered", _("Answered")), ("invalid_share", _("Not readable")),
        ("auc", "AUC"), ("brier", "Brier"), ("base_brier", _("Brier of the base rate")), ("ece", "ECE"),
        ("usd", _("Cost, USD")), ("usd_per_lead", _("Cost a lead, USD")),
    )  # fmt: skip
    lines = [
        Line(_("Prompt"), replay.present_prompt, replay.candidate_prompt),
        Line(_("Model"), replay.present_model, replay.candidate_model),
        *(Line(str(label), _figure(key, a[key]), _figure(key, b[key])) for key, label in names),
    ]
    pairs = replay.report["pairs"]
    for key, label in (("changed_bands", _("Changed bands")), ("changed_actions", _("Changed actions"))):
        lines.append(Line(str(label), "", _("%(n)d of %(all)d") % {"n": replay.report[key], "all": pairs}))
    return lines


def _figure(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    if key == "invalid_share":
        return f"{100 * value:.1f} %"
    if key in {"asked", "answered"}:
        return str(value)
    return f"{value:.6f}" if key.startswith("usd") else f"{value:.3f}"
