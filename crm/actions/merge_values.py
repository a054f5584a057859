"""Which values two records of one person leave behind: chosen field by field, the rest by rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext as _

from crm.actions.custom_fields import checked_custom
from crm.actions.lead_fields import checked_amount, checked_country
from crm.errors import InvalidValue, TransitionRefused
from crm.models import Account, Contact, Lead, LeadStatus, MergeTarget, Outcome

WINNER, LOSER = "winner", "loser"
POINTS = ("email", "phone")  # the primary one of each can be chosen, too


@dataclass(frozen=True)
class Mergeable:
    """How one kind of record is merged. `together`: columns that go with a choice; a field that is not named
    there stands for itself. `typed`: fields that also take a new value.
    """

    target: MergeTarget
    model: type[models.Model]
    choices: tuple[str, ...]
    typed: frozenset[str]
    together: Mapping[str, tuple[str, ...]]
    rules: Callable[[Any, Any], dict[str, Any]]

    def columns(self, choice: str) -> tuple[str, ...]:
        return self.together.get(choice, (choice,))

    def chosen(self, winner: Any, loser: Any, values: Mapping[str, Any]) -> dict[str, Any]:
        """The winner's new values by attribute. Raises InvalidValue naming the field."""
        unknown = sorted(set(values) - set(self.choices))
        if unknown:
            raise InvalidValue(_("There is no field “%s” to choose.") % unknown[0][:60], field=unknown[0])
        result = self.rules(winner, loser)
        for choice in self.choices:
            if choice in POINTS:
                if values.get(choice, WINNER) not in {WINNER, LOSER}:
                    raise InvalidValue(_("Choose the winner's or the loser's."), field=choice)
                continue
            for name, value in self._one(choice, winner, loser, values.get(choice)).items():
                if choice in values or name not in result:
                    result[name] = value
        return {name: value for name, value in result.items() if value != getattr(winner, name)}

    def _one(self, choice: str, winner: Any, loser: Any, wanted: Any) -> dict[str, Any]:
        if choice == "custom":
            return {"custom": _union(winner.custom, loser.custom, wanted)}
        columns = self.columns(choice)
        if wanted is None:  # no choice: the winner's, or the loser's where the winner has none
            wanted = WINNER if getattr(winner, columns[0]) not in (None, "") else LOSER
        if isinstance(wanted, str) and wanted in {WINNER, LOSER}:
            source = winner if wanted == WINNER else loser
            return {name: getattr(source, name) for name in columns}
        if choice not in self.typed:
            raise InvalidValue(_("Choose the winner's or the loser's."), field=choice)
        return {choice: _checked(self.model, choice, wanted)}


def _union(winner: dict[str, Any], loser: dict[str, Any], wanted: Any) -> dict[str, Any]:
    """Own fields of both; where both have one, the chosen side's."""
    if wanted in (None, WINNER):
        return {**loser, **winner}
    if wanted == LOSER:
        return {**winner, **loser}
    if not isinstance(wanted, dict):
        raise InvalidValue(_("Write an object of field keys and values."), field="custom")
    return {**loser, **winner, **checked_custom(wanted)}


def _checked(model: type[models.Model], name: str, value: Any) -> Any:
    """A new value, as the model's field takes it. Raises InvalidValue naming the field."""
    if name == "est_value":
        return checked_amount(value)
    if not isinstance(value, str) or "\0" in value:
        raise InvalidValue(_("Write text here."), field=name)
    value = value.strip() if "address" in name else " ".join(value.split())
    if name == "country":
        return checked_country(value)
    try:
        return model._meta.get_field(name).clean(value, None)  # type: ignore[union-attr]
    except ValidationError as wrong:
        raise InvalidValue(" ".join(wrong.messages), field=name) from None


def _words(*texts: str) -> str:
    return " ".join(dict.fromkeys(" ".join(texts).split()))


def _latest(*times: datetime | None) -> datetime | None:
    return max((time for time in times if time), default=None)


def _shared(winner: Any, loser: Any) -> dict[str, Any]:
    """What every kind has. Nobody's record goes to the loser's owner; the earliest `created_at` stays."""
    values: dict[str, Any] = {
        "created_at": min(winner.created_at, loser.created_at),
        "search_text": _words(winner.search_text, loser.search_text),
    }
    if winner.owner_id is None and loser.owner_id is not None and winner.team_id in {None, loser.team_id}:
        values |= {"owner_id": loser.owner_id, "team_id": loser.team_id}
    else:
        values |= {"owner_id": winner.owner_id, "team_id": winner.team_id or loser.team_id}
    return values


def _lead(winner: Lead, loser: Lead) -> dict[str, Any]:
    """Raises TransitionRefused where one lead's work would vanish in the other's end."""
    if (winner.status == LeadStatus.CONVERTED) != (loser.status == LeadStatus.CONVERTED):
        raise TransitionRefused(
            _("One of the two is converted, the other is not. Link the other to the contact instead.")
        )
    if loser.is_open and not winner.is_open and winner.status != LeadStatus.CONVERTED:
        raise TransitionRefused(_("“%s” is still open: keep that one, or reopen the other first.") % loser)
    values = _shared(winner, loser)
    values |= {
        "attempts": max(winner.attempts, loser.attempts),
        "last_inbound_at": _latest(winner.last_inbound_at, loser.last_inbound_at),
        "last_outbound_at": _latest(winner.last_outbound_at, loser.last_outbound_at),
        "is_ai_off": winner.is_ai_off or loser.is_ai_off,
        "contact_id": winner.contact_id or loser.contact_id,
    }
    if winner.score is None and loser.score is not None:
        values |= {"score": loser.score, "score_source": loser.score_source}
    known = loser.outcome != Outcome.UNKNOWN and loser.status != LeadStatus.DISQUALIFIED
    if winner.outcome == Outcome.UNKNOWN and known:
        values |= {name: getattr(loser, name) for name in ("outcome", "outcome_at", "outcome_from")}
    return values | (_open_work(winner, loser) if winner.is_open and loser.is_open else {})


def _open_work(winner: Lead, loser: Lead) -> dict[str, Any]:
    """The next step is the earlier one; together they sleep only if both do, and no longer than either."""
    planned = [(lead.next_action_at, lead.pk, lead) for lead in (winner, loser) if lead.next_action_at]
    first = min(planned)[2] if planned else winner
    values: dict[str, Any] = {
        "next_action_at": first.next_action_at,
        "next_action_kind": first.next_action_kind,
    }
    statuses = {winner.status, loser.status}
    if statuses == {LeadStatus.NURTURING}:
        return values | {"snoozed_until": min(t for t in (winner.snoozed_until, loser.snoozed_until) if t)}
    if statuses == {LeadStatus.NEW}:
        return values
    since = winner.status_changed_at if winner.status == LeadStatus.WORKING else None
    if since is None and loser.status == LeadStatus.WORKING:
        since = loser.status_changed_at
    return values | {
        "status": LeadStatus.WORKING,
        "snoozed_until": None,
        "status_changed_at": since or max(winner.status_changed_at, loser.status_changed_at),
    }


_LIFE = ("churned", "lead", "opportunity", "customer")  # the later word knows more


def _contact(winner: Contact, loser: Contact) -> dict[str, Any]:
    return _shared(winner, loser) | {
        "do_not_contact": winner.do_not_contact or loser.do_not_contact,
        "lifecycle": max(winner.lifecycle, loser.lifecycle, key=_LIFE.index),
    }


LEADS = Mergeable(
    MergeTarget.LEAD,
    Lead,
    (
        *("name", "company", "title", "kind", "interest", "country", "est_value", "currency"),
        *("mailing_address", "physical_address", "owner", "source", "next_action", "custom", *POINTS),
    ),
    frozenset(
        (
            "name",
            "company",
            "title",
            "interest",
            "country",
            "est_value",
            "mailing_address",
            "physical_address",
        )
    ),
    {
        "owner": ("owner_id", "team_id"),
        "source": ("source_id",),
        "est_value": ("est_value", "currency"),
        "next_action": ("next_action_at", "next_action_kind"),
    },
    _lead,
)
CONTACTS = Mergeable(
    MergeTarget.CONTACT,
    Contact,
    (
        *("full_name", "title", "account", "country", "locale", "time_zone", "lifecycle", "owner"),
        *("custom", *POINTS),
    ),
    frozenset(("full_name", "title", "country")),
    {"owner": ("owner_id", "team_id"), "account": ("account_id",)},
    _contact,
)
ACCOUNTS = Mergeable(
    MergeTarget.ACCOUNT,
    Account,
    ("name", "domain", "industry", "size_band", "website", "address", "country", "owner", "custom"),
    frozenset(("name", "industry", "size_band", "website", "address", "country")),
    {"owner": ("owner_id", "team_id")},
    _shared,
)
KINDS: dict[str, Mergeable] = {kind.target.value: kind for kind in (LEADS, CONTACTS, ACCOUNTS)}
