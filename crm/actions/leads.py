"""What people do with a lead: plain edits share `update_lead`; who has it; notes.

The arrows of its life are in lead_moves, deleting and restoring in lead_removal; all can be had from here.
"""

from contextlib import suppress
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from crm import events
from crm.actions.base import check_version, lead_for_change, offer_undo, tell, undoable
from crm.actions.custom_fields import merged_custom
from crm.actions.identity import identify, identities_of, lock_identities, normalise_email, normalise_phone
from crm.actions.intake import LENGTHS, checked_amount, checked_country, checked_currency
from crm.actions.lead_moves import (
    disqualify_lead,
    plan_next_action,
    reopen_lead,
    snooze_lead,
    start_work,
    wake_due_leads,
    wake_lead,
)
from crm.actions.lead_plans import plan_if_none, planned, restore_plan
from crm.actions.lead_removal import delete_lead, restore_lead
from crm.actions.notes import write_note
from crm.actions.steps import Memberships, Step, take, undoable_step
from crm.actions.ways import keys_of_ways, note_ways, put_ways_back
from crm.errors import InvalidValue, PermissionRefused
from crm.models import (
    Actor,
    ContactPoint,
    Lead,
    MatchKey,
    Note,
    PointKind,
    Undo,
    User,
)
from crm.permissions import Reach, Verb, reach

__all__ = [
    "add_note",
    "assign_lead",
    "delete_lead",
    "disqualify_lead",
    "plan_next_action",
    "reopen_lead",
    "restore_lead",
    "snooze_lead",
    "start_work",
    "update_lead",
    "wake_due_leads",
    "wake_lead",
]

PLAIN_FIELDS = ("name", "company", "title", "interest", "mailing_address", "physical_address")
POINTS = ("email", "phone")
FIELDS = (*PLAIN_FIELDS, "country", "currency", "est_value", "custom", *POINTS)
RECOGNISED_BY = {"name", "company", *POINTS}
FACTS = {
    "name",
    "company",
    "title",
    "interest",
    "country",
    "est_value",
    "currency",
    "custom",
}  # agents read these


@transaction.atomic
def update_lead(lead_id: int, *, by: Actor, version: int | None = None, **changes: Any) -> Lead:
    """Change fields of FIELDS; `custom` is merged key by key, null removes a key.

    Raises Lead.DoesNotExist, PermissionRefused, VersionConflict, InvalidValue naming the field.
    Publishes LeadChanged, and LeadFactsChanged when an agent would read something new. Undoable.
    """
    unknown = sorted(set(changes) - set(FIELDS))
    if unknown:
        raise InvalidValue(_("There is no field “%s” to change.") % unknown[0], field=unknown[0])
    if RECOGNISED_BY & set(changes):
        _hold_keys(lead_id, changes, by=by)
    lead = lead_for_change(lead_id, by=by)
    check_version(lead, version)
    values = _checked_all(lead, changes, by=by)
    before = {name: _current(lead, name) for name in values}
    changed = {name: value for name, value in values.items() if value != before[name]}
    if not changed:
        return lead
    ways = note_ways(lead) if RECOGNISED_BY & set(changed) else None
    _write(lead, changed)
    lines = [_line(name, before[name], value) for name, value in changed.items()]
    tell(lead, "lead.changed", "; ".join(lines), by=by, fields=sorted(changed))
    offer_undo(
        "update_lead",
        by=by,
        label=_("Changed %s") % lead.name,
        before={
            "lead": lead.pk,
            "values": {name: _plain(before[name]) for name in changed if name not in POINTS},
            "fields": sorted(changed),
            "ways": ways,
            "keys": [*keys_of_ways(ways), *_keys_of(lead)] if ways else [],
        },
        rows=[lead],
    )
    events.publish(events.LeadChanged(lead.pk, fields=tuple(sorted(changed))))
    if FACTS & set(changed):
        events.publish(events.LeadFactsChanged(lead.pk))
    return lead


@undoable("update_lead")
def _undo_update(row: Undo, by: Actor) -> None:
    lead = lead_for_change(row.before["lead"], by=by)
    values = row.before["values"]
    fields = row.before.get("fields", sorted(values))  # one that an older release left
    for name, value in values.items():
        setattr(lead, name, Lead._meta.get_field(name).to_python(value))  # type: ignore[union-attr]
    if row.before.get("ways"):
        put_ways_back(lead, row.before["ways"])
    lead.save_changed(*values, "search_text")
    tell(lead, "lead.changed", _("took back the last change"), by=by, fields=fields)
    events.publish(events.LeadChanged(lead.pk, fields=tuple(fields)))
    events.publish(events.LeadFactsChanged(lead.pk))


def _hold_keys(lead_id: int, changes: dict[str, Any], *, by: Actor) -> None:
    """The keys that the lead has and those it will have, before its row. Wrong values are refused later."""
    lead = Lead.objects.visible_to(by).select_related("source").get(pk=lead_id)
    keys = _keys_of(lead)
    with suppress(InvalidValue):
        values = _checked_all(lead, changes, by=by)
        keys += identify(
            name=values.get("name", lead.name),
            company=values.get("company", lead.company),
            email=values.get("email", ""),
            phone=values.get("phone", ""),
            country=_country_of(lead, values),
        ).keys
    lock_identities(keys)


def _keys_of(lead: Lead) -> list[tuple[str, str]]:
    return list(lead.match_keys.order_by("pk").values_list("kind", "value"))


def _country_of(lead: Lead, values: dict[str, Any] | None = None) -> str:
    """How phone numbers without a country are read, once the lead has these values."""
    return (values or {}).get("country", lead.country) or lead.source.default_country


def _checked_all(lead: Lead, changes: dict[str, Any], *, by: Actor) -> dict[str, Any]:
    values = {name: _checked(lead, name, value, by=by) for name, value in changes.items()}
    if values.get("phone"):  # read as a number of the country that comes with it
        normalise_phone(values["phone"], _country_of(lead, values))
    return values


def _checked(lead: Lead, name: str, value: Any, *, by: Actor) -> Any:
    if name == "est_value":
        return checked_amount(value)
    if name == "custom":
        return merged_custom(lead.custom, value, target="lead", is_asked=by.user is not None)
    text = "" if value is None else value
    if not isinstance(text, str) or "\0" in text:
        raise InvalidValue(_("Write text here."), field=name)
    text = " ".join(text.split()) if "address" not in name else text.strip()
    if len(text) > LENGTHS.get(name, 500):
        raise InvalidValue(_("Use at most %d characters.") % LENGTHS.get(name, 500), field=name)
    match name:
        case "name" if not text:
            raise InvalidValue(_("A lead needs a name."), field="name")
        case "country":
            return checked_country(text)
        case "currency":
            return checked_currency(text) or lead.currency
        case "email" if text:
            normalise_email(text)
    return text


def _current(lead: Lead, name: str) -> Any:
    if name not in POINTS:
        return getattr(lead, name)
    point = lead.contact_points.filter(kind=name, is_primary=True).first()
    return point.raw if point else ""


def _write(lead: Lead, values: dict[str, Any]) -> None:
    """Store checked values and keep contact points, match keys and search text in step."""
    own = [name for name in values if name not in POINTS]
    for name in own:
        setattr(lead, name, values[name])
    for kind in POINTS:
        if kind in values:
            _replace_point(lead, PointKind(kind), values[kind])
    if RECOGNISED_BY & set(values):
        _identify_again(lead)
        own.append("search_text")
    lead.save_changed(*own)


def _replace_point(lead: Lead, kind: PointKind, raw: str) -> None:
    lead.contact_points.filter(kind=kind, is_primary=True).delete()
    if not raw:
        return
    is_email = kind == PointKind.EMAIL
    norm = normalise_email(raw)[0] if is_email else normalise_phone(raw, _country_of(lead))
    ContactPoint.objects.update_or_create(
        lead=lead, kind=kind, norm=norm, defaults={"raw": raw, "is_primary": True}
    )


def _identify_again(lead: Lead) -> None:
    """Rebuild what the lead is recognised by, under its keys' locks."""
    identities = identities_of(
        lead.name, lead.company, lead.contact_points.order_by("pk").values_list("kind", "norm")
    )
    keys = list(dict.fromkeys(key for identity in identities for key in identity.keys))
    lock_identities(keys)
    lead.match_keys.exclude(kind="external").delete()
    MatchKey.objects.bulk_create(
        [MatchKey(lead=lead, kind=kind, value=value) for kind, value in keys], ignore_conflicts=True
    )
    words = dict.fromkeys(" ".join(identity.search_text for identity in identities).split())
    lead.search_text = " ".join(words)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value


def _line(name: str, old: Any, new: Any) -> str:
    label = {"email": _("e-mail"), "phone": _("phone"), "custom": _("own fields")}.get(name)
    label = label or str(getattr(Lead._meta.get_field(name), "verbose_name", name))
    if name == "custom":
        return _("changed %s") % label
    return _("changed %(field)s from %(old)s to %(new)s") % {
        "field": label,
        "old": _shown(old),
        "new": _shown(new),
    }


def _shown(value: Any) -> str:
    if value in (None, ""):
        return "–"
    if isinstance(value, Decimal):
        return number_format(value, decimal_pos=2, use_l10n=True, force_grouping=True)
    return f"“{str(value)[:60]}”"


@transaction.atomic
def assign_lead(lead_id: int, *, by: Actor, owner: User | None) -> Lead:
    """Give a lead to a person, or back to its team's pool (None).

    A rep may take from the pool for themselves and give away their own; a manager assigns inside the team. A
    lead in work that comes without a plan is to be looked at now by whoever gets it.
    Raises Lead.DoesNotExist, PermissionRefused, InvalidValue (`owner`). Publishes LeadAssigned. Undoable.
    """
    lead = lead_for_change(lead_id, by=by, verb=Verb.REASSIGN)
    take([assignment(lead, by=by, owner=owner, teams=Memberships())], by=by)
    return lead


def assignment(lead: Lead, *, by: Actor, owner: User | None, teams: Memberships) -> Step | None:
    """The step of `assign_lead`, with its refusals."""
    if owner and not owner.is_active:
        raise InvalidValue(_("%s no longer works here.") % owner, field="owner")
    if lead.owner_id == (owner.pk if owner else None):
        return None
    allowed = reach(by, Verb.REASSIGN)
    if allowed == Reach.OWN_OR_POOL and lead.owner_id is None and owner != by.user:
        raise PermissionRefused(_("Take the lead from the pool yourself; then you may give it away."))
    if owner and allowed != Reach.ALL and lead.team_id and lead.team_id not in teams.of(owner):
        raise InvalidValue(_("%s is not in this lead's team.") % owner, field="owner")
    previous, team_id, plan = lead.owner_id, lead.team_id, planned(lead)
    lead.owner = owner
    if owner and lead.team_id is None:
        lead.team_id = next(iter(teams.of(owner)), None)
    return Step(
        lead,
        ("owner", "team", *plan_if_none(lead)),
        kind="lead.assigned",
        summary=_("assigned to %s") % owner if owner else _("put back into the team's pool"),
        label=_("Assigned %s") % lead.name,
        undo="assign_lead",
        before={"lead": lead.pk, "owner": previous, "team": team_id, "plan": plan},
        happened=[events.LeadAssigned(lead.pk, lead.owner_id, previous)],
    )


@undoable_step("assign_lead", verb=None)
def _undo_assign(row: Undo, lead: Lead, by: Actor, given: None) -> Step:
    given_to, lead.owner_id = lead.owner_id, row.before["owner"]
    lead.team_id = row.before["team"]
    return Step(
        lead,
        ("owner", "team", *restore_plan(lead, row.before.get("plan", {}))),
        kind="lead.assigned",
        summary=_("took the assignment back"),
        happened=[events.LeadAssigned(lead.pk, lead.owner_id, given_to)],
    )


def add_note(lead_id: int, *, by: Actor, body: str, is_private: bool = False) -> Note:
    """`write_note` on a lead."""
    return write_note(Lead(pk=lead_id), by=by, body=body, is_private=is_private)
