"""What all parts of a legacy import share: the report, who is who, and what their ids became here."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeVar

from django.utils.translation import gettext as _

from crm.actions.erasure import erased_ways, known_as
from crm.actions.person_addresses import ways_in
from crm.errors import CRMError, InvalidValue
from crm.imports.legacy.mapping import CUSTOM, Mapping, Part
from crm.imports.legacy.times import moment
from crm.models import Account, Actor, Contact, CustomField, FieldType, Opportunity, Team, User

LEGACY_ID = "legacy_id"  # own field: where an account, contact or opportunity came from
NAMED = 20  # refused rows that the report names
REASONS = 50  # that it tells apart
Marked = TypeVar("Marked", Account, Contact, Opportunity)


@dataclass(slots=True)
class Report:
    """What became of one table's rows. Of the `new` ones, `joined` met an open lead that was here and
    `undated` ended at a time that nobody wrote down, so they end now; `became`: what they are here, by status
    or state. `reasons`: why rows were refused, counted; `problems`: the first of them, each by its id.
    `unmapped`: words without a meaning here, by field, counted.
    """

    rows: int = 0
    new: int = 0
    known: int = 0
    failed: int = 0
    joined: int = 0
    undated: int = 0
    became: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    unmapped: dict[str, Counter[str]] = field(default_factory=dict)

    def refuse(self, table: str, row: dict[str, Any], refused: CRMError) -> None:
        """Count a refused row under its reason, which holds nothing of the row itself."""
        self.failed += 1
        said = f"{refused.field}: {refused}" if refused.field else str(refused)
        if len(self.problems) < NAMED:
            self.problems.append(f"{table} {row['id']}: {said}")
        reason = said
        for value in sorted({text(value)[:60] for value in row.values()}, key=len, reverse=True):
            if value:
                reason = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "…", reason)
        if reason not in self.reasons and len(self.reasons) >= REASONS:
            reason = _("other reasons")
        self.reasons[reason] += 1

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "new": self.new,
            "known": self.known,
            "failed": self.failed,
            "joined": self.joined,
            "undated": self.undated,
            "became": dict(self.became),
            "reasons": dict(self.reasons.most_common()),
            "problems": self.problems,
            "unmapped": {name: dict(words.most_common(NAMED)) for name, words in self.unmapped.items()},
        }


@dataclass(slots=True)
class Work:
    """One run. `by` brings records in; `admin` is in whose name pipelines are set up, if they are."""

    mapping: Mapping
    by: Actor
    is_dry: bool
    admin: Actor | None = None
    users: dict[str, User] = field(default_factory=dict)
    # kind -> their id -> our key; None: a dry run would make it
    became: dict[str, dict[str, int | None]] = field(default_factory=lambda: defaultdict(dict))
    kinds: dict[str, str] = field(default_factory=dict)  # their id of a stage -> open, won or lost
    erased: dict[str, datetime] = field(default_factory=erased_ways)

    def refuse_erased(self, row: dict[str, Any], created: datetime | None, country: str = "") -> None:
        """Raises InvalidValue for somebody who was erased here after the row was written there: to run it
        again brings nobody back.
        """
        said = {name: text(row.get(name)) for name in ("email", "phone", "country")}
        for kind, norm in sorted(ways_in(said, country=country)) if self.erased else ():
            at = self.erased.get(known_as(kind, norm))
            if at and (created is None or created < at):
                raise InvalidValue(_("Whoever has this address was erased here."), field=kind)

    def mark(self, their_id: Any) -> str:
        return f"{self.mapping.source}:{their_id}"[:200]

    def marked(self, model: type[Marked], their_id: Any) -> Marked | None:
        """What their row became in a run before, found by its mark."""
        rows = model._default_manager.filter(custom__contains={LEGACY_ID: self.mark(their_id)})
        return rows.order_by("pk").first()

    def referred(self, kind: str, model: type[Marked], their_id: Any) -> Marked | None:
        """What a row refers to. None for no reference, and in a dry run that would make it.

        Raises InvalidValue when it did not come in.
        """
        if their_id is None:
            return None
        known = self.became[kind]
        if str(their_id) not in known:
            found = self.marked(model, their_id)
            if found is None:
                raise InvalidValue(
                    _("Its %(what)s %(id)s did not come in.")
                    % {"what": model._meta.verbose_name, "id": text(their_id)},
                    field=str(model._meta.model_name),
                )
            known[str(their_id)] = found.pk
        key = known[str(their_id)]
        return None if key is None else model._default_manager.get(pk=key)

    def moment(self, row: dict[str, Any], name: str) -> datetime | None:
        """When that was, None when nothing says so. Raises InvalidValue naming the field."""
        return moment(row.get(name), zone=self.mapping.zone, field=name)

    def word(self, part: Part, row: dict[str, Any], name: str, report: Report) -> str:
        """Our word for theirs; "" for none. One without a meaning is counted."""
        theirs = text(row.get(name))
        ours = part.values.get(name, {}).get(theirs, "")
        if theirs and not ours:
            report.unmapped.setdefault(name, Counter())[theirs[:60]] += 1
        return ours

    def user(self, email: Any, report: Report) -> User | None:
        """The colleague of that e-mail address; one who is none of ours is counted."""
        address = text(email).lower()
        if address and address not in self.users:
            report.unmapped.setdefault("owner", Counter())[address[:60]] += 1
        return self.users.get(address)


def split(part: Part, row: dict[str, Any], *, without: set[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(our fields, own fields) of a row, empty ones left out."""
    fields: dict[str, Any] = {}
    custom: dict[str, Any] = {}
    for name in part.fields:
        value = plain(row[name])
        if value in (None, "") or name in without:
            continue
        if name.startswith(CUSTOM):
            custom[name.removeprefix(CUSTOM)] = value
        else:
            fields[name] = value
    return fields, custom


def make_legacy_field(target: str) -> None:
    CustomField.objects.get_or_create(
        target=target, key=LEGACY_ID, defaults={"label": _("Id before"), "type": FieldType.TEXT}
    )


def team_for(owner: User | None) -> Team | None:
    """Whose pool takes what comes in: the owner's first team, else the first."""
    teams = Team.objects.filter(members__user=owner) if owner else Team.objects.all()
    return teams.order_by("pk").first()


def text(value: Any, *, lines: bool = False) -> str:
    found = "" if value is None else str(value)
    return found.strip() if lines else " ".join(found.split())


def plain(value: Any) -> Any:
    """As actions take it: days as days, texts without outer spaces."""
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | float | Decimal) else text(value)
