"""What people do with a lead. Each arrow of its life is one action; plain edits share `update_lead`."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.base import check_version, lead_for_change, offer_undo, tell, undoable
from crm.actions.custom_fields import checked_custom
from crm.actions.identity import identify, lock_identities, normalise_email, normalise_phone
from crm.actions.intake import LENGTHS, checked_amount, checked_country, checked_currency
from crm.errors import InvalidValue, PermissionRefused, TransitionRefused
from crm.models import (
    Actor,
    ContactPoint,
    Lead,
    LeadStatus,
    MatchKey,
    NextActionKind,
    Note,
    Outcome,
    OutcomeFrom,
    PointKind,
    Team,
    Undo,
    User,
)
from crm.permissions import Reach, Verb, reach

PLAIN_FIELDS = ("name", "company", "title", "interest", "mailing_address", "physical_address")
FIELDS = (*PLAIN_FIELDS, "country", "currency", "est_value", "custom", "email", "phone")
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
SNOOZE_MOST_DAYS = 730
PLAN_MOST = timedelta(days=3_660)  # ten years, both ways: what is further off was mistyped


@transaction.atomic
def update_lead(lead_id: int, *, by: Actor, version: int | None = None, **changes: Any) -> Lead:
    """Change fields of FIELDS; `custom` is merged key by key, null removes a key.

    Raises Lead.DoesNotExist, PermissionRefused, VersionConflict, InvalidValue naming the field.
    Publishes LeadChanged, and LeadFactsChanged when an agent would read something new. Undoable.
    """
    unknown = sorted(set(changes) - set(FIELDS))
    if unknown:
        raise InvalidValue(_("There is no field “%s” to change.") % unknown[0], field=unknown[0])
    lead = lead_for_change(lead_id, by=by)
    check_version(lead, version)
    values = {name: _checked(lead, name, value) for name, value in changes.items()}
    before = {name: _current(lead, name) for name in values}
    changed = {name: value for name, value in values.items() if value != before[name]}
    if not changed:
        return lead
    _write(lead, changed)
    lines = [_line(name, before[name], value) for name, value in changed.items()]
    tell(lead, "lead.changed", "; ".join(lines), by=by, fields=sorted(changed))
    offer_undo(
        "update_lead",
        by=by,
        label=_("Changed %s") % lead.name,
        before={"lead": lead.pk, "values": {name: _plain(before[name]) for name in changed}},
        rows=[lead],
    )
    events.publish(events.LeadChanged(lead.pk, fields=tuple(sorted(changed))))
    if FACTS & set(changed):
        events.publish(events.LeadFactsChanged(lead.pk))
    return lead


@undoable("update_lead")
def _undo_update(row: Undo, by: Actor) -> None:
    lead = lead_for_change(row.before["lead"], by=by)
    _write(lead, {name: _checked(lead, name, value) for name, value in row.before["values"].items()})
    tell(lead, "lead.changed", _("took back the last change"), by=by, fields=sorted(row.before["values"]))
    events.publish(events.LeadChanged(lead.pk, fields=tuple(row.before["values"])))
    events.publish(events.LeadFactsChanged(lead.pk))


def _checked(lead: Lead, name: str, value: Any) -> Any:
    if name == "est_value":
        return checked_amount(value)
    if name == "custom":
        if not isinstance(value, dict):
            raise InvalidValue(_("Write an object of field keys and values."), field="custom")
        checked = checked_custom(value)
        kept = {key: old for key, old in lead.custom.items() if key not in value}
        return {**kept, **checked}
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
        case "phone" if text:
            normalise_phone(text, lead.country or lead.source.default_country)
    return text


def _current(lead: Lead, name: str) -> Any:
    if name not in {"email", "phone"}:
        return getattr(lead, name)
    point = lead.contact_points.filter(kind=name, is_primary=True).first()
    return point.raw if point else ""


def _write(lead: Lead, values: dict[str, Any]) -> None:
    """Store checked values and keep contact points, match keys and search text in step."""
    for kind in ("email", "phone"):
        if kind in values:
            _replace_point(lead, PointKind(kind), values[kind])
    own = [name for name in values if name not in {"email", "phone"}]
    for name in own:
        setattr(lead, name, values[name])
    if {"name", "company", "email", "phone"} & set(values):
        _identify_again(lead)
        own.append("search_text")
    lead.save_changed(*own)


def _replace_point(lead: Lead, kind: PointKind, raw: str) -> None:
    lead.contact_points.filter(kind=kind, is_primary=True).delete()
    if not raw:
        return
    country = lead.country or lead.source.default_country
    norm = normalise_email(raw)[0] if kind == PointKind.EMAIL else normalise_phone(raw, country)
    ContactPoint.objects.update_or_create(
        lead=lead, kind=kind, norm=norm, defaults={"raw": raw, "is_primary": True}
    )


def _identify_again(lead: Lead) -> None:
    """Rebuild what the lead is recognised by, under its keys' locks."""
    points = list(lead.contact_points.all())
    identities = [
        identify(
            name=lead.name,
            company=lead.company,
            email=point.norm if point.kind == PointKind.EMAIL else "",
            phone=point.norm if point.kind == PointKind.PHONE else "",
        )
        for point in points
    ] or [identify(name=lead.name, company=lead.company)]
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

    A rep may take from the pool for themselves and give away their own; a manager assigns inside the team.
    Raises Lead.DoesNotExist, PermissionRefused, InvalidValue (`owner`). Publishes LeadAssigned. Undoable.
    """
    lead = lead_for_change(lead_id, by=by, verb=Verb.REASSIGN)
    if owner and not owner.is_active:
        raise InvalidValue(_("%s no longer works here.") % owner, field="owner")
    if lead.owner_id == (owner.pk if owner else None):
        return lead
    allowed = reach(by, Verb.REASSIGN)
    if allowed == Reach.OWN_OR_POOL and lead.owner_id is None and owner != by.user:
        raise PermissionRefused(_("Take the lead from the pool yourself; then you may give it away."))
    is_foreign = owner and allowed != Reach.ALL and lead.team_id
    if is_foreign and not Team.objects.filter(pk=lead.team_id or 0, members__user=owner).exists():
        raise InvalidValue(_("%s is not in this lead's team.") % owner, field="owner")
    before = lead.owner_id
    lead.owner = owner
    if owner and lead.team_id is None:
        lead.team = Team.objects.filter(members__user=owner).order_by("pk").first()
    lead.save_changed("owner", "team")
    tell(
        lead,
        "lead.assigned",
        _("assigned to %s") % owner if owner else _("put back into the team's pool"),
        by=by,
    )
    offer_undo(
        "assign_lead",
        by=by,
        label=_("Assigned %s") % lead.name,
        before={"lead": lead.pk, "owner": before},
        rows=[lead],
    )
    events.publish(events.LeadAssigned(lead.pk, lead.owner_id, before))
    return lead


@undoable("assign_lead")
def _undo_assign(row: Undo, by: Actor) -> None:
    # the one who assigned may no longer see the lead, so the lock is taken as the system
    lead = Lead.objects.select_for_update(of=("self",)).get(pk=row.before["lead"])
    given_to, lead.owner_id = lead.owner_id, row.before["owner"]
    lead.save_changed("owner")
    tell(lead, "lead.assigned", _("took the assignment back"), by=by)
    events.publish(events.LeadAssigned(lead.pk, lead.owner_id, given_to))


@transaction.atomic
def start_work(lead_id: int, *, by: Actor) -> Lead:
    """new -> working. Raises TransitionRefused. Publishes LeadChanged."""
    return _move(lead_id, LeadStatus.WORKING, by=by, kind="lead.work_started", summary=_("started work"))


@transaction.atomic
def reopen_lead(lead_id: int, *, by: Actor) -> Lead:
    """disqualified -> working; the outcome is unknown again. Raises TransitionRefused."""
    lead = lead_for_change(lead_id, by=by)
    if lead.status != LeadStatus.DISQUALIFIED:
        raise TransitionRefused(_("Only a disqualified lead can be reopened."))
    lead.disqualify_reason, lead.outcome, lead.outcome_at, lead.outcome_from = "", Outcome.UNKNOWN, None, ""
    lead.save(update_fields=["outcome", "outcome_at", "outcome_from"])
    return _moved(
        lead, LeadStatus.WORKING, "disqualify_reason", by=by, kind="lead.reopened", summary=_("reopened")
    )


@transaction.atomic
def disqualify_lead(lead_id: int, *, by: Actor, reason: str) -> Lead:
    """Take a lead out of the work, with the reason; its outcome is lost.

    Raises Lead.DoesNotExist, PermissionRefused, InvalidValue (`reason`), TransitionRefused.
    Publishes LeadDisqualified and LeadChanged. Undoable.
    """
    reason = _one_line(reason, "reason")
    if not reason:
        raise InvalidValue(_("Say why the lead is disqualified."), field="reason")
    if len(reason) > 200:
        raise InvalidValue(_("Use at most 200 characters."), field="reason")
    lead = lead_for_change(lead_id, by=by)
    before = {
        "lead": lead.pk,
        "status": lead.status,
        "snoozed_until": lead.snoozed_until and lead.snoozed_until.isoformat(),
        "next_action_at": lead.next_action_at and lead.next_action_at.isoformat(),
        "next_action_kind": lead.next_action_kind,
    }
    lead.disqualify_reason = reason
    lead.snoozed_until, lead.next_action_at, lead.next_action_kind = None, None, ""
    lead.outcome, lead.outcome_at, lead.outcome_from = Outcome.LOST, clock.now(), OutcomeFrom.ACTION
    _moved(
        lead,
        LeadStatus.DISQUALIFIED,
        "disqualify_reason",
        "outcome",
        "outcome_at",
        "outcome_from",
        "snoozed_until",
        "next_action_at",
        "next_action_kind",
        by=by,
        kind="lead.disqualified",
        summary=_("disqualified: %s") % reason,
    )
    offer_undo("disqualify_lead", by=by, label=_("Disqualified %s") % lead.name, before=before, rows=[lead])
    events.publish(events.LeadDisqualified(lead.pk, lead.owner_id))
    return lead


@undoable("disqualify_lead")
def _undo_disqualify(row: Undo, by: Actor) -> None:
    lead = lead_for_change(row.before["lead"], by=by)
    until, at = row.before["snoozed_until"], row.before["next_action_at"]
    lead.status = row.before["status"]
    lead.snoozed_until = datetime.fromisoformat(until) if until else None
    lead.next_action_at = datetime.fromisoformat(at) if at else None
    lead.next_action_kind = row.before["next_action_kind"]
    lead.disqualify_reason, lead.outcome, lead.outcome_at, lead.outcome_from = "", Outcome.UNKNOWN, None, ""
    planned = ("snoozed_until", "next_action_at", "next_action_kind")
    lead.save_changed("status", *planned, "disqualify_reason", "outcome", "outcome_at", "outcome_from")
    tell(lead, "lead.reopened", _("took the disqualification back"), by=by)
    events.publish(events.LeadChanged(lead.pk, fields=("status",)))


@transaction.atomic
def snooze_lead(lead_id: int, *, by: Actor, until: datetime, reason: str = "") -> Lead:
    """Let a lead sleep until then; it wakes by itself, or at once when the customer writes.

    Raises InvalidValue (`until`, not in the future or more than two years off), TransitionRefused.
    Publishes LeadChanged. Undoable.
    """
    now = clock.now()
    if not 0 < (until - now).total_seconds() < SNOOZE_MOST_DAYS * 86_400:
        raise InvalidValue(_("Choose a time in the future, at most two years from now."), field="until")
    until, reason = until.astimezone(UTC), _one_line(reason, "reason")
    lead = lead_for_change(lead_id, by=by)
    if lead.status == LeadStatus.NURTURING:
        lead.move_to(LeadStatus.WORKING)  # sleeping again: a new time
    before = {
        "lead": lead.pk,
        "status": lead.status,
        "next_action_at": lead.next_action_at and lead.next_action_at.isoformat(),
        "next_action_kind": lead.next_action_kind,
    }
    lead.snoozed_until = until
    lead.next_action_at, lead.next_action_kind = until, lead.next_action_kind or NextActionKind.REVIEW
    _moved(
        lead,
        LeadStatus.NURTURING,
        "snoozed_until",
        "next_action_at",
        "next_action_kind",
        by=by,
        kind="lead.snoozed",
        summary=_("snoozed: %s") % reason[:200] if reason else _("snoozed"),
        at=until,
    )
    offer_undo("snooze_lead", by=by, label=_("Snoozed %s") % lead.name, before=before, rows=[lead])
    return lead


@undoable("snooze_lead")
def _undo_snooze(row: Undo, by: Actor) -> None:
    lead = lead_for_change(row.before["lead"], by=by)
    at = row.before["next_action_at"]
    lead.status, lead.snoozed_until = row.before["status"], None
    lead.next_action_at = datetime.fromisoformat(at) if at else None
    lead.next_action_kind = row.before["next_action_kind"]
    lead.save_changed("status", "snoozed_until", "next_action_at", "next_action_kind")
    tell(lead, "lead.woken", _("took the snooze back"), by=by)
    events.publish(events.LeadChanged(lead.pk, fields=("status",)))


@transaction.atomic
def wake_lead(lead_id: int, *, by: Actor, because: str = "") -> Lead:
    """nurturing -> working. Raises TransitionRefused."""
    lead = lead_for_change(lead_id, by=by)
    if lead.status != LeadStatus.NURTURING:
        raise TransitionRefused(_("This lead is not asleep."))
    lead.snoozed_until = None
    summary = because or _("woke up")
    return _moved(lead, LeadStatus.WORKING, "snoozed_until", by=by, kind="lead.woken", summary=summary)


def wake_due_leads(at: datetime, *, limit: int = 500) -> int:
    """Wake every lead whose time has come, one transaction each. Returns how many."""
    due = Lead.objects.open().filter(status=LeadStatus.NURTURING, snoozed_until__lte=at)
    woken = 0
    for lead_id in list(due.order_by("snoozed_until").values_list("pk", flat=True)[:limit]):
        with transaction.atomic():
            lead = Lead.objects.select_for_update(of=("self",), skip_locked=True).filter(pk=lead_id).first()
            if (
                lead
                and lead.status == LeadStatus.NURTURING
                and lead.snoozed_until
                and lead.snoozed_until <= at
            ):
                wake_lead(lead_id, by=Actor.system())
                woken += 1
    return woken


@transaction.atomic
def plan_next_action(
    lead_id: int, *, by: Actor, at: datetime | None, kind: str = "", version: int | None = None
) -> Lead:
    """Say when to do what next; None clears the plan. A new lead becomes working.

    Raises InvalidValue (`kind`, `at`), VersionConflict. Publishes LeadChanged.
    """
    lead = lead_for_change(lead_id, by=by)
    check_version(lead, version)
    if not lead.is_open:
        raise TransitionRefused(_("This lead is closed; reopen it first."))
    if at is not None and abs(at - clock.now()) > PLAN_MOST:
        raise InvalidValue(_("Choose a time at most ten years from now."), field="at")
    if at is not None and kind not in NextActionKind.values:
        raise InvalidValue(_("Choose what to do: call, e-mail, meeting, to do or review."), field="kind")
    at = at and at.astimezone(UTC)
    lead.next_action_at, lead.next_action_kind = at, kind if at else ""
    changed = ["next_action_at", "next_action_kind"]
    if lead.status == LeadStatus.NEW:
        lead.move_to(LeadStatus.WORKING)
        changed += ["status", "status_changed_at"]
    lead.save_changed(*changed)
    what = _("planned: %s") % NextActionKind(kind).label.lower() if at else _("cleared the next step")
    tell(lead, "lead.next_action_planned", what, by=by, **_when(at))
    events.publish(events.LeadChanged(lead.pk, fields=tuple(changed)))
    return lead


@transaction.atomic
def add_note(lead_id: int, *, by: Actor, body: str) -> Note:
    """Write a note. Raises InvalidValue (`body`). Publishes NoteAdded and LeadFactsChanged."""
    body = body.strip()
    if not body:
        raise InvalidValue(_("Write something first."), field="body")
    if len(body) > 20_000 or "\0" in body:
        raise InvalidValue(_("Use at most 20,000 characters of plain text."), field="body")
    lead = lead_for_change(lead_id, by=by)
    event = tell(lead, "note.added", body.replace("\n", " "), by=by)
    note = Note.objects.create(lead=lead, author=by.user, body=body, event=event)
    events.publish(events.NoteAdded(lead.pk, note.pk))
    events.publish(events.LeadFactsChanged(lead.pk))
    return note


def _one_line(text: str, field: str) -> str:
    """The text with single blanks. Raises InvalidValue for NUL, which no column can hold."""
    if "\0" in text:
        raise InvalidValue(_("This text holds characters that cannot be stored."), field=field)
    return " ".join(text.split())


def _move(lead_id: int, status: LeadStatus, *fields: str, by: Actor, kind: str, summary: str) -> Lead:
    return _moved(lead_for_change(lead_id, by=by), status, *fields, by=by, kind=kind, summary=summary)


def _moved(
    lead: Lead,
    status: LeadStatus,
    *fields: str,
    by: Actor,
    kind: str,
    summary: str,
    at: datetime | None = None,
) -> Lead:
    """Move, save `fields` too, tell (with `at`, a time that screens show in the reader's zone), publish."""
    lead.move_to(status)
    lead.save_changed("status", "status_changed_at", *fields)
    tell(lead, kind, summary, by=by, **_when(at))
    events.publish(events.LeadChanged(lead.pk, fields=("status", *fields)))
    return lead


def _when(at: datetime | None) -> dict[str, str]:
    return {"at": at.isoformat()} if at else {}
