"""Their deals as opportunities: opened when they were, and won or lost when they were."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import models, transaction
from django.utils.translation import gettext as _

from crm.actions.opportunities import create_opportunity
from crm.actions.opportunity_moves import lose_opportunity, win_opportunity
from crm.actions.pipelines import first_stage
from crm.errors import InvalidValue
from crm.imports.legacy.leads import Leads
from crm.imports.legacy.mapping import ABOUT, LOST, WON, Part
from crm.imports.legacy.times import as_of, date_back, ended
from crm.imports.legacy.work import LEGACY_ID, Report, Work, make_legacy_field, split, team_for, text
from crm.models import (
    Account,
    Contact,
    Lead,
    LeadStatus,
    Opportunity,
    OpportunityState,
    Stage,
    StageKind,
)

TIMES = ("created_at", "updated_at", "closed_at", "won_at", "lost_at")
NOT_CARD_FIELDS = {*ABOUT["opportunities"], "owner", "stage", "state", "lost_reason", *TIMES}


class Cards:
    def __init__(self, work: Work, leads: Leads) -> None:
        self.work = work
        self.leads = leads

    def bring(self, part: Part, row: dict[str, Any], report: Report) -> bool:
        """Whether it is new. A dry run does the same and takes it back. Raises CRMError."""
        if self.work.marked(Opportunity, row["id"]):
            return False
        with transaction.atomic():
            self._bring(part, row, report)
            transaction.set_rollback(self.work.is_dry)
        if self.work.is_dry:
            self.work.became["opportunities"][str(row["id"])] = None
        return True

    def _bring(self, part: Part, row: dict[str, Any], report: Report) -> None:
        about = about_of(self.work, self.leads, part, row)
        owner = self.work.user(row.get("owner"), report)
        stage, closing, state = self._stage(part, row, report)
        values, custom = split(part, row, without=NOT_CARD_FIELDS)
        created, changed = self.work.moment(row, "created_at"), self.work.moment(row, "updated_at")
        end = self._end(row, state, created, changed)
        make_legacy_field("opportunity")
        with _times_kept(about["lead"], about["account"], about["contact"]):
            with as_of(created):
                card = create_opportunity(
                    by=self.work.by,
                    name=values.pop("name", ""),
                    lead=about["lead"],
                    account=about["account"],
                    primary_contact=about["contact"],
                    owner=owner,
                    team=None if about["lead"] or about["account"] or owner else team_for(owner),
                    stage=stage,
                    custom={**custom, LEGACY_ID: self.work.mark(row["id"])},
                    **values,
                )
            self._close(card, closing, state, row, end)
            _link(card, about["lead"])
        date_back(card, created=created, changed=changed)
        report.became[state] += 1
        report.undated += state != OpportunityState.OPEN and end is None

    def _close(
        self, card: Opportunity, stage: Stage | None, state: str, row: dict[str, Any], end: datetime | None
    ) -> None:
        with as_of(end):
            if state == OpportunityState.WON:
                win_opportunity(card.pk, by=self.work.by, stage=stage)
            elif state == OpportunityState.LOST:
                reason = text(row.get("lost_reason"))[:200] or _("Lost in %s") % self.work.mapping.source
                lose_opportunity(card.pk, by=self.work.by, reason=reason, stage=stage)

    def _end(
        self, row: dict[str, Any], state: str, created: datetime | None, changed: datetime | None
    ) -> datetime | None:
        """When it was won or lost; None for an open one, and when nothing says so."""
        if state == OpportunityState.OPEN:
            return None
        for name in (f"{state}_at", "closed_at"):
            if end := self.work.moment(row, name):
                return ended(end, created, zone=self.work.mapping.zone, field=name)
        return ended(changed, created, zone=self.work.mapping.zone, field="updated_at")

    def _stage(
        self, part: Part, row: dict[str, Any], report: Report
    ) -> tuple[Stage | None, Stage | None, str]:
        """(the open stage in which it begins, the one that closes it, its state); None: the usual one.

        What [stages] brought is known by their id; else our word for theirs is an open stage, or an end. A
        state of its own decides.
        """
        said = self.work.word(part, row, "state", report)
        known = self.work.became["stages"]
        if str(row.get("stage")) in known:
            key = known[str(row["stage"])]
            stage = Stage.objects.select_related("pipeline").get(pk=key) if key else None
            state = said or self.work.kinds[str(row["stage"])]
            if stage is None or stage.kind == StageKind.OPEN:
                return stage, None, state
            return first_stage(stage.pipeline), stage if stage.kind == state else None, state
        word = self.work.word(part, row, "stage", report)
        if not word or word in {WON, LOST}:
            ends = {WON: OpportunityState.WON, LOST: OpportunityState.LOST}
            return None, None, said or ends.get(word, OpportunityState.OPEN)
        stage = Stage.objects.filter(name__iexact=word, kind=StageKind.OPEN, is_active=True).first()
        if stage is None:
            raise InvalidValue(_("There is no open stage “%s”.") % word, field="stage")
        return stage, None, said or OpportunityState.OPEN


def about_of(work: Work, leads: Leads, part: Part, row: dict[str, Any]) -> dict[str, Any]:
    """The records that a row is about, by our names. Raises InvalidValue when it names none."""
    names = ABOUT[part.kind]
    if all(row.get(name) is None for name in names):
        raise InvalidValue(_("It names none of: %s.") % ", ".join(names), field=names[0])
    return {
        "lead": leads.referred(row.get("lead")),
        "account": work.referred("accounts", Account, row.get("account")),
        "contact": work.referred("contacts", Contact, row.get("contact")),
        "opportunity": work.referred("opportunities", Opportunity, row.get("opportunity")),
    }


def _link(card: Opportunity, lead: Lead | None) -> None:
    """A converted lead shows the first opportunity that came of it."""
    if lead:
        became = Lead.objects.filter(pk=lead.pk, status=LeadStatus.CONVERTED, converted_opportunity=None)
        became.update(converted_opportunity=card)


@contextmanager
def _times_kept(*records: models.Model | None) -> Iterator[None]:
    """What follows for a record from what was brought is no change of today."""
    yield
    for record in records:
        if record:
            date_back(record, created=None, changed=record.updated_at)  # type: ignore[attr-defined]
