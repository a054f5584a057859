"""Bringing another system's records in through our own actions, each once however often it is run."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from crm import clock
from crm.actions.identity import identify
from crm.actions.imports import source_for
from crm.actions.intake import LeadFields, receive_inquiry
from crm.actions.leads import assign_lead, disqualify_lead, plan_next_action, start_work
from crm.actions.notes import write_note
from crm.actions.opportunities import create_opportunity
from crm.actions.opportunity_moves import lose_opportunity, win_opportunity
from crm.actions.pipelines import first_stage
from crm.errors import CRMError, InvalidValue
from crm.imports.legacy.identities import bring_account, bring_contact
from crm.imports.legacy.mapping import ABOUT, CUSTOM, LOST, WON, Mapping, Part
from crm.imports.legacy.pipelines import Pipelines
from crm.imports.legacy.work import (
    LEGACY_ID,
    NAMED,
    Report,
    Work,
    make_legacy_field,
    plain,
    split,
    team_for,
    text,
)
from crm.models import (
    Account,
    Actor,
    Channel,
    Contact,
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

NOT_LEAD_FIELDS = {"owner", "status", "reason"}
NOT_CARD_FIELDS = {*ABOUT, "owner", "stage", "lost_reason"}


class LegacyImport:
    """Takes rows one by one, each in its own transaction; with `is_dry` it looks and writes nothing."""

    def __init__(self, mapping: Mapping, *, by: Actor, is_dry: bool, admin: Actor | None = None) -> None:
        users = {user.email.lower(): user for user in User.objects.active()}
        self.work = Work(mapping, by=by, is_dry=is_dry, admin=admin, users=users)
        self.reports: dict[str, Report] = {}
        self._pipelines = Pipelines(self.work)
        self._source = (
            LeadSource.objects.filter(name__iexact=mapping.source).first()
            if is_dry
            else source_for(mapping.source)[0]
        )

    def take(self, part: Part, row: dict[str, Any]) -> None:
        """What the domain refuses is counted and named; the rest goes on."""
        report = self.reports.setdefault(part.kind, Report())
        report.rows += 1
        takers: dict[str, Callable[[Part, dict[str, Any], Report], bool]] = {
            "pipelines": self._pipelines.bring_pipeline,
            "stages": self._pipelines.bring_stage,
            "accounts": partial(bring_account, self.work),
            "contacts": partial(bring_contact, self.work),
            "leads": self._lead,
            "opportunities": self._opportunity,
            "notes": self._note,
        }
        try:
            with transaction.atomic():
                is_new = takers[part.kind](part, row, report)
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

    def finish(self, part: Part) -> None:
        """The part's last row was taken."""
        if part.kind == "stages":
            self._pipelines.finish()

    # --- leads ---------------------------------------------------------------------------------------------
    def _lead(self, part: Part, row: dict[str, Any], report: Report) -> bool:
        if self._lead_of(row["id"]):
            return False
        payload: dict[str, Any] = {"external_id": str(row["id"])}
        custom = {}
        for name in part.fields:
            value = row[name]
            if name.startswith(CUSTOM):
                custom[name.removeprefix(CUSTOM)] = plain(value)
            elif name not in NOT_LEAD_FIELDS:
                payload[name] = value if isinstance(value, Decimal) else text(value)
        status = self.work.word(part, row, "status", report) or LeadStatus.NEW
        owner = self.work.user(row.get("owner"), report)
        if self.work.is_dry:
            fields = LeadFields.of({**payload, "custom": custom})
            identity = identify(
                name=fields.name or fields.email or fields.phone, email=fields.email, phone=fields.phone,
                country=fields.country or (self._source.default_country if self._source else ""),
            )  # fmt: skip
            if not identity.name:
                raise InvalidValue(_("Give a name, an e-mail address or a phone number."), field="name")
            self.work.became["leads"][str(row["id"])] = None
            return True
        result = receive_inquiry(
            channel=Channel.CSV,
            payload={**payload, "custom": custom},
            by=self.work.by,
            source=self._source,
            idempotency_key=f"legacy:{row['id']}",
        )
        if result.created:
            if owner:
                assign_lead(result.lead.pk, by=self.work.by, owner=owner)
            if status == LeadStatus.DISQUALIFIED:
                reason = text(row.get("reason"))[:200] or _("Closed in %s") % self.work.mapping.source
                disqualify_lead(result.lead.pk, by=self.work.by, reason=reason)
            elif status == LeadStatus.WORKING:
                self._work(result.lead)
        return True

    def _work(self, lead: Lead) -> None:
        """Work on it has begun over there; what to do next is to be reviewed."""
        planned = plan_next_action(lead.pk, by=self.work.by, at=clock.now(), kind=NextActionKind.REVIEW)
        if planned.status == LeadStatus.NEW:
            start_work(lead.pk, by=self.work.by)

    def _lead_of(self, their_id: Any) -> Lead | None:
        """The lead that their row became, wherever it has been merged into since."""
        if their_id is None or self._source is None:
            return None
        inquiry = Inquiry.objects.filter(source=self._source, idempotency_key=f"legacy:{their_id}").first()
        return inquiry.lead if inquiry else None

    def _referred_lead(self, their_id: Any) -> Lead | None:
        """None for no reference, and in a dry run that would bring it. Raises InvalidValue when their lead
        has not come in.
        """
        if their_id is None:
            return None
        lead = self._lead_of(their_id)
        if lead is None and str(their_id) not in self.work.became["leads"]:
            raise InvalidValue(_("Its lead %s did not come in.") % text(their_id), field="lead")
        return lead

    def _about(self, row: dict[str, Any]) -> dict[str, Any]:
        """The lead, account and contact that a row refers to. Raises InvalidValue when it names none."""
        if all(row.get(name) is None for name in ABOUT):
            raise InvalidValue(_("It names no lead, account or contact."), field="lead")
        return {
            "lead": self._referred_lead(row.get("lead")),
            "account": self.work.referred("accounts", Account, row.get("account")),
            "contact": self.work.referred("contacts", Contact, row.get("contact")),
        }

    # --- opportunities -------------------------------------------------------------------------------------
    def _opportunity(self, part: Part, row: dict[str, Any], report: Report) -> bool:
        if self.work.marked(Opportunity, row["id"]):
            return False
        about = self._about(row)
        owner = self.work.user(row.get("owner"), report)
        stage, end = self._stage(part, row, report)
        values, custom = split(part, row, without=NOT_CARD_FIELDS)
        if not values.get("name"):
            raise InvalidValue(_("An opportunity needs a name."), field="name")
        if self.work.is_dry:
            return True
        make_legacy_field("opportunity")
        card = create_opportunity(
            by=self.work.by,
            lead=about["lead"],
            account=about["account"],
            primary_contact=about["contact"],
            owner=owner,
            team=None if about["lead"] or about["account"] or owner else team_for(owner),
            stage=stage,
            custom={**custom, LEGACY_ID: self.work.mark(row["id"])},
            **values,
        )
        if end == WON:
            win_opportunity(card.pk, by=self.work.by)
        elif end == LOST:
            reason = text(row.get("lost_reason"))[:200] or _("Lost in %s") % self.work.mapping.source
            lose_opportunity(card.pk, by=self.work.by, reason=reason)
        return True

    def _stage(self, part: Part, row: dict[str, Any], report: Report) -> tuple[Stage | None, str]:
        """(the open stage in which it begins; None: the usual one, "(won)" or "(lost)" if it has ended).

        What [stages] brought is known by their id; else our word for theirs is an open stage, or an end.
        """
        known = self.work.became["stages"]
        if str(row.get("stage")) in known:
            key = known[str(row["stage"])]
            stage = Stage.objects.select_related("pipeline").get(pk=key) if key else None
            if stage is None or stage.kind == StageKind.OPEN:
                return stage, ""
            return first_stage(stage.pipeline), WON if stage.kind == StageKind.WON else LOST
        word = self.work.word(part, row, "stage", report)
        if not word or word in {WON, LOST}:
            return None, word
        stage = Stage.objects.filter(name__iexact=word, kind=StageKind.OPEN, is_active=True).first()
        if stage is None:
            raise InvalidValue(_("There is no open stage “%s”.") % word, field="stage")
        return stage, ""

    # --- notes ---------------------------------------------------------------------------------------------
    def _note(self, part: Part, row: dict[str, Any], report: Report) -> bool:
        body, at = text(row["body"], lines=True), row.get("at")
        if not body:
            raise InvalidValue(_("The note is empty."), field="body")
        about = next((record for record in self._about(row).values() if record), None)
        if isinstance(at, datetime | date):
            body = f"[{at:%Y-%m-%d}] {body}"
        if about is None:
            return True  # a dry run would make what it is about
        if Note.objects.filter(**{str(about._meta.model_name): about}, body=body).exists():
            return False
        if not self.work.is_dry:
            write_note(about, by=self.work.by, body=body)
        return True
