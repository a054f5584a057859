"""A lead's own fields as the page shows and edits them, one at a time."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from crm import clock
from crm.models import CustomField, FieldType, Lead, LeadStatus, NextActionKind, PointKind, User, acting
from crm.models.hidden import is_hiding
from crm.web import words

CUSTOM = "custom:"


@dataclass(slots=True)
class DetailField:
    """One line. `shown` is what people read, `raw` what they edit."""

    name: str
    label: str
    shown: str
    raw: str = ""
    kind: str = "text"  # hidden, text, decimal, textarea, select, boolean, date, plan
    options: list[tuple[str, str]] = field(default_factory=list)
    tone: str = ""
    is_person: bool = False
    extra: str = ""  # a second raw value: the currency, or the kind of the next step
    error: str = ""
    theirs: str = ""  # what somebody else saved meanwhile


def details(lead: Lead) -> list[DetailField]:
    """The "Details" section, own fields included. One query."""
    lines = [
        _owner(lead),
        DetailField(
            "est_value",
            _("Value"),
            words.money(lead.est_value, lead.currency),
            "" if lead.est_value is None else f"{lead.est_value.normalize():f}",
            "decimal",
            extra=lead.currency,
        ),
        _text(lead, "interest", _("Interest")),
        _text(lead, "company", _("Company")),
        _text(lead, "title", _("Job title")),
        _text(lead, "country", _("Country")),
        _plan(lead),
    ]
    return [*lines, *_custom(lead)]


def contact(lead: Lead) -> list[DetailField]:
    """The "Contact" section. One query. Whose address is hidden is told that there is one."""
    points = {p.kind: p for p in lead.contact_points.filter(is_primary=True)}
    labels = {PointKind.EMAIL: _("E-mail"), PointKind.PHONE: _("Phone")}
    return [
        DetailField(
            kind.value,
            label,
            points[kind].raw if kind in points else "",
            points[kind].raw if kind in points else "",
            kind="hidden" if is_hiding() else "text",
            tone="bad" if kind in points and points[kind].state in {"bounced", "invalid"} else "",
        )
        for kind, label in labels.items()
    ]


def find(lead: Lead, name: str) -> DetailField | None:
    """One line by its name, or None."""
    return next((line for line in [*details(lead), *contact(lead)] if line.name == name), None)


def _text(lead: Lead, name: str, label: str) -> DetailField:
    value = getattr(lead, name)
    return DetailField(name, label, value, value)


def _owner(lead: Lead) -> DetailField:
    owner: User | None = lead.owner
    if owner is None:
        return DetailField("owner", _("Owner"), _("Nobody yet"), "", "owner", tone="faint")
    return DetailField("owner", _("Owner"), str(owner), str(owner.public_id), "owner", is_person=True)


def _plan(lead: Lead) -> DetailField:
    at, now = lead.next_action_at, clock.now()
    line = DetailField("plan", _("Follow up"), "", "", "plan", extra=lead.next_action_kind)
    line.options = [(kind.value, str(kind.label)) for kind in NextActionKind]
    if at is None:
        return line
    line.raw = local_input(at)
    what = str(NextActionKind(lead.next_action_kind).label)
    when = words.lateness(at, now) if at < now else words.day_and_time(at, now)
    line.shown = f"{what}, {when}"
    line.tone = "late" if at < now and lead.status != LeadStatus.NURTURING else ""
    return line


def local_input(at: datetime) -> str:
    """The value of a datetime-local input, in the person's zone."""
    return timezone.localtime(at).strftime("%Y-%m-%dT%H:%M")


def _custom(lead: Lead) -> list[DetailField]:
    known = CustomField.objects.filter(target="lead").visible_to(acting())[:40]
    return [
        _custom_line(one, lead.custom.get(one.key))
        for one in known
        if lead.custom.get(one.key) not in (None, "") or (one.is_required and one.is_active)
    ]


def _custom_line(one: CustomField, value: Any) -> DetailField:
    text = "" if value is None else str(value)
    line = DetailField(f"{CUSTOM}{one.key}", one.label, text, text)
    if one.type == FieldType.BOOLEAN:
        line.kind = "select"
        line.options = [("true", _("Yes")), ("false", _("No"))]
        line.raw = "" if value is None else "true" if value else "false"
        line.shown = dict(line.options).get(line.raw, "")
    elif one.type == FieldType.CHOICE:
        line.kind, line.options = "select", [(option, option) for option in one.options]
    elif one.type == FieldType.NUMBER:
        line.kind = "decimal"
    elif one.type == FieldType.DATE:
        line.kind = "date"
    return line
