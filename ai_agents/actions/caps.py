"""Caps of a day's spending: who may set them, and where they stand today."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db import connection, transaction
from django.utils.translation import gettext as _

from ai_agents.actions import budget, queue
from ai_agents.actions.pools import PLACES as POOL_PLACES
from ai_agents.actions.pools import set_pool
from ai_agents.agents import NAMES
from ai_agents.models import AgentPool, Budget, BudgetCap
from crm import events
from crm.actions.audit import audit
from crm.errors import InvalidValue, OutOfBounds
from crm.models import Actor, ActorKind, User
from crm.permissions import Verb, require

MOST_USD = Decimal(100_000)
PLACES = 6  # after the point
USER = "user:"


@dataclass(frozen=True, slots=True)
class BudgetNow:
    """One budget of today, in USD. `scope` is "all", a kind of work, or "user:" and a person's public id."""

    scope: str
    name: str
    cap: Decimal
    spent: Decimal
    reserved: Decimal

    @property
    def left(self) -> Decimal:
        return max(Decimal(0), self.cap - self.spent - self.reserved)

    @property
    def is_spent(self) -> bool:
        return self.left <= 0


@transaction.atomic
def set_budget(scope: str, *, usd_day: Decimal | None, by: Actor) -> str:
    """Set what a day may cost in a scope, from now on, today included; None takes the cap away.

    Scopes: "all" (without a cap of its own: AI_DAILY_BUDGET_USD), a pool's kind, "replay" (the lab), and
    "user:" with a person's public id, for what that person asks for. Returns the scope as the tables hold it.
    Raises PermissionRefused, InvalidValue for an unknown scope, OutOfBounds. Publishes AgentPoolChanged.
    """
    if by.kind != ActorKind.SYSTEM:  # whoever holds the machine and its commands is trusted
        require(by, Verb.SET_UP)
    if usd_day is not None and not (usd_day.is_finite() and 0 <= usd_day <= MOST_USD):
        raise OutOfBounds(_("Choose an amount from 0 to 100,000 USD."), field="usd_day")
    kept = _kept_scope(scope)
    is_pools = AgentPool.objects.filter(kind=kept).exists()
    if usd_day is not None:
        budget.refuse_finer(usd_day, places=POOL_PLACES if is_pools else PLACES, field="usd_day")
    if is_pools:
        set_pool(kept, by=by, budget_day_usd=usd_day)
    elif usd_day is None:
        BudgetCap.objects.filter(scope=kept).delete()
    else:
        BudgetCap.objects.update_or_create(scope=kept, defaults={"usd_day": usd_day})
    _apply_today(kept)
    audit("budget.changed", f"set the daily AI budget of {scope}", by=by, usd_day=str(usd_day))
    events.publish(events.AgentPoolChanged(kept if is_pools else budget.ALL))
    return kept


def budgets_now(scopes: Sequence[str] | None = None) -> list[BudgetNow]:
    """Today's budgets: overall first, then kinds, then people. Three queries."""
    caps = dict(budget.caps())
    rows = {row.scope: row for row in Budget.objects.filter(day=queue.today(), scope__in=caps)}
    people = {
        f"{USER}{pk}": (f"{USER}{public_id}", name or email)
        for pk, public_id, name, email in User.objects.filter(
            pk__in=[scope.removeprefix(USER) for scope in caps if scope.startswith(USER)]
        ).values_list("pk", "public_id", "name", "email")
    }
    found = []
    for scope, cap in caps.items():
        row = rows.get(scope)
        shown, name = people.get(scope, (scope, NAMES.get(scope, scope)))
        spent, reserved = (row.spent, row.reserved) if row else (Decimal(0), Decimal(0))
        found.append(BudgetNow(shown, name, cap, spent, reserved))
    return [one for one in found if scopes is None or one.scope in scopes]


def _kept_scope(scope: str) -> str:
    """The scope as the tables hold it. Raises InvalidValue."""
    if scope in {budget.ALL, budget.REPLAY} or AgentPool.objects.filter(kind=scope).exists():
        return scope
    if scope.startswith(USER):
        who = scope.removeprefix(USER)
        with suppress(ValueError):
            found = User.objects.filter(public_id=UUID(who)).values_list("pk", flat=True).first()
            if found is not None:
                return budget.person_scope(found)
        if BudgetCap.objects.filter(scope=scope).exists():  # as the admin's list shows it
            return scope
    kinds = ", ".join(AgentPool.objects.values_list("kind", flat=True))
    raise InvalidValue(
        _("There is no such budget; there are: all, replay, %s, user:<id>.") % kinds, field="scope"
    )


def _apply_today(scope: str) -> None:
    """Give today's row the cap that holds now; one whose cap was taken away has the overall one."""
    caps = dict(budget.caps())
    with connection.cursor() as cursor:
        if scope in caps:
            budget.open_scope(cursor, scope, queue.today(), caps[scope])
        else:
            cursor.execute(
                "UPDATE ai_agents_budget SET cap = %s, stopped_at = NULL WHERE scope = %s AND day = %s",
                [caps[budget.ALL], scope, queue.today()],
            )
