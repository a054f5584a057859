"""Bringing another system's records in through our own actions, each once however often it is run."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from crm import clock
from crm.actions.identity import identify
from crm.actions.imports import source_for
from crm.actions.intake import LeadFields, receive_inquiry
from crm.actions.leads import add_note, assign_lead, disqualify_lead, plan_next_action, start_work
from crm.actions.opportunities import create_opportunity
from crm.actions.opportunity_moves import lose_opportunity, win_opportunity
from crm.errors import CRMError, InvalidValue
from crm.imports.legacy.mapping import CUSTOM, LOST, WON, Mapping, Part
from crm.models import (
    Actor,
    Channel,
    CustomField,
    FieldType,
    Inquiry,
    Lead,
    LeadSource,
    LeadStatus,
    NextActionKind,
    Note,
    Opportunity,
    Stage,
    StageKind,
    User,
)

LEGACY_ID = "legacy_id"  # own field of opportunities: where one came from
NAMED = 20  # refused rows that the report names
NOT_LEAD_FIELDS = {"owner", "status", "reason"}


@dataclass(slots=True)
class Report:
    """What became of one table's rows. `unmapped`: words without a meaning here, by field, counted."""

    rows: int = 0
    new: int = 0
    known: int = 0
    failed: int = 0
    problems: list[str] = field(default_factory=list)
    unmapped: dict[str, Counter[str]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "new": self.new,
            "known": self.known,
            "failed": self.failed,
            "problems": self.problems,
            "unmapped": {name: dict(words.most_common(NAMED)) for name, words in self.unmapped.items()},
        }


class LegacyImport:
    """Takes rows one by one, each in its own transaction; with `is_dry` it looks and writes nothing."""

    def __init__(self, mapping: Mapping, *, by: Actor, is_dry: bool) -> None:
        self.mapping, self.by, self.is_dry = mapping, by, is_dry
        self.reports: dict[str, Report] = {}
        self._users = {user.email.lower(): user for user in User.objects.active()}
        self._ahead: set[str] = set()  # leads that a dry run would make
        self._source = (
            LeadSource.objects.filter(name__iexact=mapping.source).first()
            if is_dry
            else source_for(mapping.source)[0]
        )

    def take(self, part: Part, row: dict[str, Any]) -> None:
        """What the domain refuses is counted and named; the rest goes on."""
        report = self.reports.setdefault(part.kind, Report())
        report.rows += 1
        take: Callable[[Part, dict[str, Any], Report], bool] = {
            "leads": self._lead,
            "opportunities": self._opportunity,
            "notes": self._note,
        }[part.kind]
        try:
            with transaction.atomic():
                is_new = take(part, row, report)
        except CRMError as refused:
            report.failed += 1
            if len(report.problems) < NAMED:
                where = f"{refused.field}: " if refused.field else ""
                report.problems.append(f"{part.table} {row['id']}: {where}{refused}")
            return
        if is_new:
            report.new += 1
        else:
            report.known += 1

    # --- leads ---------------------------------------------------------------------------------------------
    def _lead(self, part: Part, row: dict[str, Any], report: Report) -> bool:
        if self._lead_of(row["id"]):
            return False
        payload: dict[str, Any] = {"external_id": str(row["id"])}
        custom = {}
        for name in part.fields:
            value = row[name]
            if name.startswith(CUSTOM):
                custom[name.removeprefix(CUSTOM)] = _plain(value)
            elif name not in NOT_LEAD_FIELDS:
                payload[name] = value if isinstance(value, Decimal) else _text(value)
        status = self._word(part, row, "status", report) or LeadStatus.NEW
        owner = self._user(row.get("owner"), report)
        if self.is_dry:
            fields = LeadFields.of({**payload, "custom": custom})
            identity = identify(
                name=fields.name or fields.email or fields.phone, email=fields.email, phone=fields.phone,
                country=fields.country or (self._source.default_country if self._source else ""),
            )  # fmt: skip
            if not identity.name:
                raise InvalidValue(_("Give a name, an e-mail address or a phone number."), field="name")
            self._ahead.add(str(row["id"]))
            return True
        result = receive_inquiry(
            channel=Channel.CSV,
            payload={**payload, "custom": custom},
            by=self.by,
            source=self._source,
            idempotency_key=f"legacy:{row['id']}",
        )
        if result.created:
            if owner:
                assign_lead(result.lead.pk, by=self.by, owner=owner)
            if status == LeadStatus.DISQUALIFIED:
                reason = _text(row.get("reason"))[:200] or _("Closed in %s") % self.mapping.source
                disqualify_lead(result.lead.pk, by=self.by, reason=reason)
            elif status == LeadStatus.WORKING:
                self._work(result.lead)
        return True

    def _work(self, lead: Lead) -> None:
        """Work on it has begun over there; what to do next is to be reviewed."""
        planned = plan_next_action(lead.pk, by=self.by, at=clock.now(), kind=NextActionKind.REVIEW)
        if planned.status == LeadStatus.NEW:
            start_work(lead.pk, by=self.by)

    def _lead_of(self, their_id: Any) -> Lead | None:
        """The lead that their row became, wherever it has been merged into since."""
        if their_id is None or self._source is None:
            return None
        inquiry = Inquiry.objects.filter(source=self._source, idempotency_key=f"legacy:{their_id}").first()
        return inquiry.lead if inquiry else None

    def _needed_lead(self, their_id: Any) -> Lead | None:
        """Raises InvalidValue when their lead has not come in. None in a dry run that would bring it."""
        lead = self._lead_of(their_id)
        if lead is None and not (self.is_dry and str(their_id) in self._ahead):
            raise InvalidValue(_("Its lead %s did not come in.") % _text(their_id), field="lead")
        return lead

    def _word(self, part: Part, row: dict[str, Any], name: str, report: Report) -> str:
        """Our word for theirs; "" for none. One without a meaning is counted."""
        theirs = _text(row.get(name))
        ours = part.values.get(name, {}).get(theirs, "")
        if theirs and not ours:
            report.unmapped.setdefault(name, Counter())[theirs[:60]] += 1
        return ours

    def _user(self, email: Any, report: Report) -> User | None:
        """The colleague of that e-mail address; one who is none of ours is counted."""
        text = _text(email).lower()
        if text and text not in self._users:
            report.unmapped.setdefault("owner", Counter())[text[:60]] += 1
        return self._users.get(text)

    # --- opportunities -------------------------------------------------------------------------------------
    def _opportunity(self, part: Part, row: dict[str, Any], report: Report) -> bool:
        mark = f"{self.mapping.source}:{row['id']}"[:200]
        if Opportunity.objects.filter(custom__legacy_id=mark).exists():
            return False
        lead = self._needed_lead(row["lead"])
        owner = self._user(row.get("owner"), report)
        word = self._word(part, row, "stage", report)
        stage = None
        if word and word not in {WON, LOST}:
            stage = Stage.objects.filter(name__iexact=word, kind=StageKind.OPEN, is_active=True).first()
            if stage is None:
                raise InvalidValue(_("There is no open stage “%s”.") % word, field="stage")
        values = {
            name: _plain(row[name])
            for name in ("name", "amount", "currency", "expected_close")
            if name in row
        }
        values = {name: value for name, value in values.items() if value not in (None, "")}
        if not values.get("name"):
            raise InvalidValue(_("An opportunity needs a name."), field="name")
        if self.is_dry:
            return True
        _make_legacy_field()
        card = create_opportunity(
            by=self.by, lead=lead, owner=owner, stage=stage, custom={LEGACY_ID: mark}, **values
        )
        if word == WON:
            win_opportunity(card.pk, by=self.by)
        elif word == LOST:
            reason = _text(row.get("lost_reason"))[:200] or _("Lost in %s") % self.mapping.source
            lose_opportunity(card.pk, by=self.by, reason=reason)
        return True

    # --- notes ---------------------------------------------------------------------------------------------
    def _note(self, part: Part, row: dict[str, Any], report: Report) -> bool:
        body, at = _text(row["body"], lines=True), row.get("at")
        if not body:
            raise InvalidValue(_("The note is empty."), field="body")
        lead = self._needed_lead(row["lead"])
        if isinstance(at, datetime | date):
            body = f"[{at:%Y-%m-%d}] {body}"
        if lead and Note.objects.filter(lead=lead, body=body).exists():
            return False
        if lead and not self.is_dry:
            add_note(lead.pk, by=self.by, body=body)
        return True


def _make_legacy_field() -> None:
    CustomField.objects.get_or_create(
        target="opportunity", key=LEGACY_ID, defaults={"label": _("Id before"), "type": FieldType.TEXT}
    )


def _text(value: Any, *, lines: bool = False) -> str:
    text = "" if value is None else str(value)
    return text.strip() if lines else " ".join(text.split())


def _plain(value: Any) -> Any:
    """As actions take it: days as days, texts without outer spaces."""
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | float | Decimal) else _text(value)
