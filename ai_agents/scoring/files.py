"""Leads with known outcomes from a CSV file, read and typed as an import would, without a database."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from django.utils.translation import gettext as _

from ai_agents.scoring.facts import FEATURES, Facts, Feature, custom_feature
from crm.actions import score_rules
from crm.actions.score_rules import Evidence, Text
from crm.errors import ImportRefused
from crm.imports.columns import CUSTOM, Column, profile
from crm.imports.reading import Table
from crm.imports.rows import RowConverter, StagedRow
from crm.imports.sniffing import Dialect, sniff
from crm.models import (
    Channel,
    FactorSource,
    FieldType,
    KeyKind,
    Lead,
    LeadSource,
    Outcome,
    PointKind,
    Verdict,
)
from crm.plaintext import normalised

# Say who it is, or are no feature.
_NOT_READ = {"external_id", "name", "first_name", "last_name", "tags", "currency"}
_TRUTH = "score_truth"


@dataclass(slots=True)
class Leads:
    """What a file holds. `outcomes` are 1 (won) and 0; `rules` is what the score by rules says, 0 to 1;
    `truths` the known chances, when a column holds them.
    """

    features: list[Feature]
    facts: list[Facts] = field(default_factory=list)
    outcomes: list[int] = field(default_factory=list)
    rules: list[float] = field(default_factory=list)
    truths: list[float] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    without_outcome: int = 0
    unreadable: int = 0


def read_leads(
    path: Path, *, outcome: str, leave_out: Collection[str] = (), truth: str = "", at: datetime
) -> Leads:
    """All rows with an outcome. Columns in `leave_out` are not looked at.

    Raises OSError; ImportRefused, which names the column in `field`, for a column that is not there, and for
    a file that an import would refuse.
    """
    dialect = sniff(path)
    with Table(path, dialect) as table:
        seen = profile(table)
    names = [column.name for column in seen.columns]
    for wanted in (outcome, truth, *leave_out):
        if wanted and wanted not in names:
            known = ", ".join(f"“{name}”" for name in names[:60])
            raise ImportRefused(
                _("The file has no column “%(name)s”. It has %(known)s.") % {"name": wanted, "known": known},
                field=wanted,
            )
    types = {column.name: column.type for column in seen.columns}
    if truth and types[truth] != FieldType.NUMBER:
        raise ImportRefused(_("The column “%s” does not hold numbers.") % truth, field=truth)
    mapping = {column.name: column.guess for column in seen.columns}
    mapping = {name: "" if target == "outcome" else target for name, target in mapping.items()}
    mapping |= dict.fromkeys(leave_out, "") | ({truth: f"{CUSTOM}{_TRUTH}"} if truth else {})
    mapping[outcome] = "outcome"
    while True:
        found = _read(path, dialect, seen.columns, mapping, seen.empty_words, at=at)
        if isinstance(found, Leads):
            break
        for column in seen.columns:  # a type that the sample promised does not hold further down
            if column.name in found:
                if column.name == truth:
                    raise ImportRefused(_("The column “%s” does not hold numbers.") % truth, field=truth)
                column.type, column.is_free_text = FieldType.TEXT, True
    if not all(0 <= chance <= 1 for chance in found.truths):
        raise ImportRefused(_("The chances in “%s” are not all between 0 and 1.") % truth, field=truth)
    found.left_out = [name for name in names if not mapping[name] or mapping[name] in _NOT_READ]
    return found


def _read(
    path: Path,
    dialect: Dialect,
    columns: list[Column],
    mapping: dict[str, str],
    empty_words: list[str],
    *,
    at: datetime,
) -> Leads | set[str]:
    """The leads, or the names of the columns whose type must be wider."""
    source = LeadSource(code="file", name="file", kind=Channel.CSV)
    converter = RowConverter(columns, mapping, source=source, field_types={}, empty_words=empty_words)
    labels = {target.key: target.column.name for target in converter.targets}
    custom = [
        custom_feature(key, labels[key], kind)
        for key, kind in converter.custom_types.items()
        if key != _TRUTH
    ]
    leads = Leads([*FEATURES, *custom])
    row_of_source = Lead(source=source)
    with Table(path, dialect) as table:
        for row in table:
            staged = converter.convert(row)
            if converter.misfits:
                return set(converter.misfits)
            if staged.verdict == Verdict.SKIP:
                continue
            if staged.verdict == Verdict.ERROR:
                leads.unreadable += 1
            elif not staged.outcome:
                leads.without_outcome += 1
            else:
                _add(leads, staged, row_of_source, at)
    return leads


def _add(leads: Leads, staged: StagedRow, lead: Lead, at: datetime) -> None:
    fields = staged.fields
    if (truth := staged.custom.pop(_TRUTH, None)) is not None:
        leads.truths.append(float(truth))
    leads.outcomes.append(int(staged.outcome == Outcome.WON))
    leads.facts.append(
        Facts(
            source="file",
            channel=Channel.CSV,
            country=fields.get("country", ""),
            given=frozenset(fields),
            has_company_mail=bool(staged.key(KeyKind.DOMAIN)),
            est_value=float(fields["est_value"]) if "est_value" in fields else None,
            message=fields.get("message", ""),
            custom=staged.custom,
        )
    )
    leads.rules.append(_by_rules(staged, lead, at))


def _by_rules(staged: StagedRow, lead: Lead, at: datetime) -> float:
    fields = staged.fields
    lead.company, lead.interest = fields.get("company", ""), fields.get("interest", "")
    lead.est_value = Decimal(fields["est_value"]) if "est_value" in fields else None
    text = normalised(fields.get("message", ""))
    ways = {"email": PointKind.EMAIL, "phone": PointKind.PHONE}
    evidence = Evidence(
        lead=lead,
        reached_by=frozenset(kind for name, kind in ways.items() if name in fields),
        has_company_mail=bool(staged.key(KeyKind.DOMAIN)),
        texts=[Text(FactorSource.INQUIRY, 0, text)] if text else [],
        inquiries=1,
        last_heard_at=at,
    )
    return score_rules.judge(evidence, at=at)[0] / 100
