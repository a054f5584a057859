"""Their leads as inquiries of then, each moved on to where it stood when it was brought here."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from crm import clock
from crm.actions.base import lead_for_change
from crm.actions.conversion import convert_lead
from crm.actions.imports import source_for
from crm.actions.intake import receive_inquiry
from crm.actions.lead_moves import checked_sleep, snoozing
from crm.actions.lead_plans import REVIEW_AFTER
from crm.actions.leads import assign_lead, disqualify_lead, plan_next_action, start_work
from crm.actions.steps import take
from crm.errors import InvalidValue
from crm.imports.legacy.mapping import CUSTOM, Part
from crm.imports.legacy.times import as_of, coming, date_back, ended
from crm.imports.legacy.work import Report, Work, plain, text
from crm.models import (
    OPEN_STATUSES,
    Account,
    Channel,
    Contact,
    Inquiry,
    Lead,
    LeadSource,
    LeadStatus,
    NextActionKind,
)

TIMES = ("created_at", "updated_at", "status_at", "closed_at", "snoozed_until")
NOT_LEAD_FIELDS = {"owner", "status", "reason", "contact", "account", *TIMES}


class Leads:
    def __init__(self, work: Work) -> None:
        self.work = work
        name = work.mapping.source
        self._source = (
            LeadSource.objects.filter(name__iexact=name).first() if work.is_dry else source_for(name)[0]
        )

    def bring(self, part: Part, row: dict[str, Any], report: Report) -> bool:
        """Whether it is new. A dry run does the same and takes it back. Raises CRMError."""
        if self.of(row["id"]):
            return False
        with transaction.atomic():
            self._bring(part, row, report)
            transaction.set_rollback(self.work.is_dry)
        if self.work.is_dry:
            self.work.became["leads"][str(row["id"])] = None
        return True

    def _bring(self, part: Part, row: dict[str, Any], report: Report) -> None:
        created, changed = self.work.moment(row, "created_at"), self.work.moment(row, "updated_at")
        country = self._source.default_country if self._source else ""
        self.work.refuse_erased(row, created, country)
        status = self.work.word(part, row, "status", report) or LeadStatus.NEW
        since = self._since(row, status, created, changed)
        owner = self.work.user(row.get("owner"), report)
        result = receive_inquiry(
            channel=Channel.CSV,
            payload=_payload(part, row),
            by=self.work.by,
            source=self._source or source_for(self.work.mapping.source)[0],
            idempotency_key=f"legacy:{row['id']}",
            received_at=created,
        )
        if not result.created:
            report.joined += 1
            return
        if owner:
            with as_of(created):
                assign_lead(result.lead.pk, by=self.work.by, owner=owner)
        self._move_on(result.lead, LeadStatus(status), row, since)
        date_back(result.lead, created=None, changed=changed)
        report.became[status] += 1
        report.undated += status not in OPEN_STATUSES and since is None

    def _since(
        self, row: dict[str, Any], status: str, created: datetime | None, changed: datetime | None
    ) -> datetime | None:
        """Since when it has been in this status: said, or else last changed. None: nothing says so."""
        name = "status_at" if status in OPEN_STATUSES else "closed_at"
        since, said = self.work.moment(row, name), name
        if since is None:
            since, said = self.work.moment(row, "status_at"), "status_at"
        if since is None:
            since, said = changed, "updated_at"
        return ended(since, created, zone=self.work.mapping.zone, field=said)

    def _move_on(self, lead: Lead, status: LeadStatus, row: dict[str, Any], since: datetime | None) -> None:
        by, now = self.work.by, clock.now()
        if status == LeadStatus.WORKING:
            with as_of(since):
                start_work(lead.pk, by=by, next_action_at=clock.now(), next_action_kind=NextActionKind.REVIEW)
            if since:  # what to do next is to be looked at today
                plan_next_action(lead.pk, by=by, at=now, kind=NextActionKind.REVIEW)
        elif status == LeadStatus.NURTURING:
            until = coming(row.get("snoozed_until"), zone=self.work.mapping.zone, field="snoozed_until")
            until, _reason = checked_sleep(max(until or now, now + REVIEW_AFTER), "")
            with as_of(since):
                take([snoozing(lead_for_change(lead.pk, by=by), by=by, until=until, reason="")], by=by)
        elif status == LeadStatus.DISQUALIFIED:
            reason = text(row.get("reason"))[:200] or _("Closed in %s") % self.work.mapping.source
            with as_of(since):
                disqualify_lead(lead.pk, by=by, reason=reason)
        elif status == LeadStatus.CONVERTED:
            person = self.work.referred("contacts", Contact, row.get("contact"))
            account = self.work.referred("accounts", Account, row.get("account"))
            with as_of(since):
                became = convert_lead(lead.pk, by=by, contact=person or {}, account=account)
            if became.contact.pk not in {lead.contact_id, person.pk if person else None}:
                date_back(became.contact, created=since)

    def of(self, their_id: Any) -> Lead | None:
        """The lead that their row became, wherever it has been merged into since."""
        if their_id is None or self._source is None:
            return None
        inquiry = Inquiry.objects.filter(source=self._source, idempotency_key=f"legacy:{their_id}").first()
        return inquiry.lead if inquiry else None

    def referred(self, their_id: Any) -> Lead | None:
        """None for no reference, and in a dry run that would bring it. Raises InvalidValue when their lead
        has not come in.
        """
        if their_id is None:
            return None
        lead = self.of(their_id)
        if lead is None and str(their_id) not in self.work.became["leads"]:
            raise InvalidValue(_("Its lead %s did not come in.") % text(their_id), field="lead")
        return lead


def _payload(part: Part, row: dict[str, Any]) -> dict[str, Any]:
    payload: dict[str, Any] = {"external_id": str(row["id"])}
    custom = {}
    for name in part.fields:
        value = row[name]
        if name.startswith(CUSTOM):
            custom[name.removeprefix(CUSTOM)] = plain(value)
        elif name not in NOT_LEAD_FIELDS:
            payload[name] = value if isinstance(value, Decimal) else text(value)
    return {**payload, "custom": custom}
