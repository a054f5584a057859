"""Bringing another system's records in through our own actions, each once however often it is run."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import transaction

from crm.errors import CRMError
from crm.imports.legacy.cards import Cards
from crm.imports.legacy.identities import bring_account, bring_contact
from crm.imports.legacy.leads import Leads
from crm.imports.legacy.mapping import Mapping, Part
from crm.imports.legacy.pipelines import Pipelines
from crm.imports.legacy.stories import Stories
from crm.imports.legacy.work import Report, Work
from crm.models import Actor, User

Take = Callable[[Part, dict[str, Any], Report], bool]


class LegacyImport:
    """Takes rows one by one, each in its own transaction; with `is_dry` it looks and writes nothing."""

    def __init__(self, mapping: Mapping, *, by: Actor, is_dry: bool, admin: Actor | None = None) -> None:
        users = {user.email.lower(): user for user in User.objects.active()}
        self.work = Work(mapping, by=by, is_dry=is_dry, admin=admin, users=users)
        self.reports: dict[str, Report] = {}
        self._pipelines = Pipelines(self.work)
        leads = Leads(self.work)
        stories = Stories(self.work, leads)
        self._takers: dict[str, Take] = {
            "pipelines": self._pipelines.bring_pipeline,
            "stages": self._pipelines.bring_stage,
            "accounts": partial(bring_account, self.work),
            "contacts": partial(bring_contact, self.work),
            "leads": leads.bring,
            "opportunities": Cards(self.work, leads).bring,
            "notes": stories.bring_note,
            "activities": stories.bring_activity,
        }

    def take(self, part: Part, row: dict[str, Any]) -> None:
        """What the domain refuses is counted and named; the rest goes on."""
        report = self.reports.setdefault(part.kind, Report())
        report.rows += 1
        try:
            with transaction.atomic():
                is_new = self._takers[part.kind](part, row, report)
        except CRMError as refused:
            report.refuse(part.table, row, refused)
            return
        if is_new:
            report.new += 1
        else:
            report.known += 1

    def finish(self, part: Part) -> None:
        """The part's last row was taken."""
        if part.kind == "stages":
            self._pipelines.finish()
