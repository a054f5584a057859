"""What keeps the agents from working, since when, and what becomes of the tasks meanwhile.

Nothing here is remembered on its own: each trouble is read from the row that makes it so (a circuit, a
budget, a pool, the cluster's heartbeat), and is gone when that is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ai_agents.actions.circuits import GONE, NO_ACCESS
from ai_agents.agents import NAMES
from ai_agents.llm.providers import Provider
from crm import clock

SILENT_S = 120  # work is due for so long, and no cluster has proved progress
FAILING = 0.1  # of the newest calls
FAILING_OF = (20, 200)  # calls it takes to say so, and how many are looked at, of the last ten minutes
STALE_S = 600  # a model that nobody called for so long is not called slow any more


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong. `code` is for programs; `stops` tells that no task of any kind goes on."""

    code: (
        # key_refused, model_gone, provider_down, budget_spent, no_pump, paused, fallback, provider_slow,
        # calls_fail
        str
    )
    text: str
    since: datetime | None
    stops: bool = False

    @property
    def waits(self) -> bool:
        """Whether tasks of at least one kind do not go on."""
        return self.stops or self.code in {"budget_spent", "paused"}


# One row of JSON: what `troubles` reads. Few rows each; the queue is only asked whether something is due.
STATE = """
SELECT jsonb_build_object(
    'circuits', (SELECT jsonb_agg(jsonb_build_object('model', model, 'state', state, 'reason', reason,
            'opened_at', opened_at, 'retry_at', retry_at, 'ms', ms, 'slow_since', slow_since))
        FROM ai_agents_providerhealth WHERE provider = %(provider)s AND (state <> 'closed'
            OR (slow_since IS NOT NULL AND updated_at > now() - %(stale_s)s * interval '1 second'))),
    'pools', (SELECT jsonb_agg(jsonb_build_object('kind', kind, 'model', model, 'paused', paused,
            'because', paused_because, 'paused_at', paused_at, 'target', target) ORDER BY id)
        FROM ai_agents_agentpool),
    'budgets', (SELECT jsonb_agg(jsonb_build_object('scope', scope, 'left', (cap - spent - reserved)::text,
            'stopped_at', stopped_at) ORDER BY scope) FROM ai_agents_budget
        WHERE day = (now() AT TIME ZONE 'UTC')::date AND scope NOT LIKE 'user:%%'),
    'used', (SELECT jsonb_build_object('model', info ->> 'model', 'provider', info ->> 'provider')
        FROM ai_agents_pumplease ORDER BY until DESC LIMIT 1),
    'calls', (SELECT jsonb_build_object('n', count(*), 'failed', count(*) FILTER (WHERE status IN
            ('timeout', 'error', 'invalid')), 'since', min(created_at) FILTER (WHERE status IN
            ('timeout', 'error', 'invalid')))
        FROM (SELECT status, created_at FROM ai_agents_agentcall
              WHERE created_at > now() - %(stale_s)s * interval '1 second' AND provider = %(provider)s
              ORDER BY created_at DESC LIMIT %(newest)s) AS newest),
    'silent_since', (SELECT coalesce(
            (SELECT at FROM crm_heartbeat WHERE name = 'cluster:ai'),
            now() - %(silent_s)s * interval '1 second')
        WHERE EXISTS (SELECT 1 FROM ai_agents_agenttask WHERE state = 'queued'
                AND run_after < now() - %(silent_s)s * interval '1 second')
            AND NOT EXISTS (SELECT 1 FROM crm_heartbeat WHERE name = 'cluster:ai'
                AND at > now() - %(silent_s)s * interval '1 second')))
"""


def troubles(provider: Provider, state: Mapping[str, Any], *, least_usd: Decimal) -> list[Trouble]:
    """What `STATE` tells, the worst first. `least_usd`: with less than that left a budget is spent."""
    found = [
        *_circuits(provider, state.get("circuits") or [], state.get("pools") or []),
        *_budgets(state.get("budgets") or [], least_usd),
        *_silence(state.get("silent_since")),
        *_pauses(state.get("pools") or []),
        *_failing(state.get("calls") or {}),
        *_fallback(provider, state.get("used") or {}),
    ]
    return sorted(found, key=lambda trouble: not trouble.stops)


def since(at: datetime | None) -> str:
    """ "13:04" today, else with the day; in the reader's time zone."""
    if at is None:
        return ""
    local = timezone.localtime(at)
    is_today = local.date() == timezone.localtime(clock.now()).date()
    return date_format(local, "H:i" if is_today else "j M H:i")


def _circuits(
    provider: Provider, rows: Sequence[Mapping[str, Any]], pools: Sequence[Mapping[str, Any]]
) -> list[Trouble]:
    wanted = list(dict.fromkeys([*provider.models, *(pool["model"] for pool in pools if pool["model"])]))
    by_model = {row["model"]: row for row in rows if row["model"] in wanted}
    closed = [model for model in wanted if by_model.get(model, {}).get("state", "closed") == "closed"]
    found = []
    for model, row in by_model.items():
        if row["state"] != "closed":
            found.append(_open(model, row, instead=closed[0] if closed else ""))
        elif row["slow_since"]:
            at = _time(row["slow_since"])
            text = _("%(model)s answers slowly since %(since)s: %(seconds)d s a call.") % {
                "model": model,
                "since": since(at),
                "seconds": row["ms"] // 1000,
            }
            found.append(Trouble("provider_slow", text, at))
    if any(trouble.code == "key_refused" for trouble in found):  # one key: said once
        first = next(trouble for trouble in found if trouble.code == "key_refused")
        found = [first, *(trouble for trouble in found if trouble.code != "key_refused")]
    return found


def _open(model: str, row: Mapping[str, Any], *, instead: str) -> Trouble:
    """An open circuit in words."""
    at, reason = _time(row["opened_at"]), str(row["reason"])
    what = {
        "model": model,
        "since": since(at),
        "reason": reason.removeprefix("http_").replace("_", " "),
        "instead": instead,
        "again": since(_time(row["retry_at"])),
    }
    if reason in NO_ACCESS:
        text = _("The provider refuses the key (HTTP %(reason)s) since %(since)s.")
        code = "key_refused"
    elif reason == GONE:
        text = _("The provider has no model %(model)s (HTTP %(reason)s) since %(since)s.")
        code = "model_gone"
    else:
        text = _("%(model)s does not answer since %(since)s (%(reason)s).")
        code = "provider_down"
    then = (
        _("%(instead)s answers in its place.")
        if instead
        else _("Tasks wait; the next try is at %(again)s, and they go on by themselves.")
    )
    return Trouble(code, f"{text} {then}" % what, at, stops=not instead)


def _budgets(rows: Sequence[Mapping[str, Any]], least_usd: Decimal) -> list[Trouble]:
    found = []
    for row in rows:
        left, is_all = Decimal(row["left"]), row["scope"] == "all"
        if row["stopped_at"] is None and left > 0 and left >= least_usd:
            continue
        at = _time(row["stopped_at"])
        whose = {"agent": NAMES.get(row["scope"], row["scope"]), "since": since(at)}
        if is_all and at:
            text = _("Today's AI budget is spent since %(since)s; tasks wait until tomorrow.")
        elif is_all:
            text = _("Today's AI budget is spent; tasks wait until tomorrow.")
        elif at:
            text = _("Today's budget of %(agent)s is spent since %(since)s; its tasks wait until tomorrow.")
        else:
            text = _("Today's budget of %(agent)s is spent; its tasks wait until tomorrow.")
        found.append(Trouble("budget_spent", text % whose, at, stops=is_all))
    return found


def _silence(value: str | None) -> list[Trouble]:
    if value is None:
        return []
    at = _time(value)
    text = _("AI tasks are waiting and nothing works on them since %s.") % since(at)
    return [Trouble("no_pump", text, at, stops=True)]


def _pauses(pools: Sequence[Mapping[str, Any]]) -> list[Trouble]:
    paused = [pool for pool in pools if pool["paused"]]
    if not paused:
        return []
    at = min((time for pool in paused if (time := _time(pool["paused_at"]))), default=None)
    names = _(" and ").join(NAMES.get(pool["kind"], pool["kind"]) for pool in paused)
    because = " ".join(dict.fromkeys(pool["because"] for pool in paused if pool["because"]))
    if at:
        text = ngettext(
            "%(names)s is paused since %(since)s.", "%(names)s are paused since %(since)s.", len(paused)
        )
    else:
        text = ngettext("%(names)s is paused.", "%(names)s are paused.", len(paused))
    said = f"{text % {'names': names, 'since': since(at)}} {because}".rstrip()
    return [Trouble("paused", said, at, stops=len(paused) == len(pools))]


def _failing(calls: Mapping[str, Any]) -> list[Trouble]:
    """One call in ten and more fails or cannot be read, while the circuits let them through."""
    n, failed = calls.get("n", 0), calls.get("failed", 0)
    if n < FAILING_OF[0] or failed < FAILING * n:
        return []
    at = _time(calls["since"])
    text = _("%(failed)d of the last %(n)d calls to a model failed or could not be read, since %(since)s.")
    return [Trouble("calls_fail", text % {"failed": failed, "n": n, "since": since(at)}, at)]


def _fallback(provider: Provider, used: Mapping[str, Any]) -> list[Trouble]:
    """The provider's list of models does not name the first wanted one."""
    model = used.get("model")
    if not model or used.get("provider") != provider.name or model not in provider.models[1:]:
        return []
    text = _("The provider does not offer %(wanted)s; %(used)s answers in its place.")
    return [Trouble("fallback", text % {"wanted": provider.models[0], "used": model}, None)]


def _time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value).astimezone(UTC) if value else None
