"""A piece of an import that is written in one transaction."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _

from crm.actions.intake import first_hands, opening
from crm.imports.judging import ROW_KEY
from crm.models import Actor, Channel, ImportJob

_KEYS = """VALUES
    (1, 'external', s.external_key), (2, 'email', s.email_key),
    (3, 'email', nullif(s.email_plain_key, s.email_key)), (4, 'phone', s.phone_key),
    (5, 'domain', s.domain_key), (6, 'name_company', s.name_company_key)"""
_POINTS = """VALUES
    (1, 'email', s.fields ->> 'email', s.email_key), (2, 'phone', s.fields ->> 'phone', s.phone_key)"""
_EACH = {
    "row": ("", "", ""),
    "key": (
        f"CROSS JOIN LATERAL ({_KEYS}) AS key (place, kind, value)",
        "AND key.value <> ''",
        ", key.place",
    ),
    "point": (
        f"CROSS JOIN LATERAL ({_POINTS}) AS point (place, kind, raw, norm)",
        "AND point.norm <> ''",
        ", point.place",
    ),
}


def staged(*verdicts: str, each: str = "row") -> str:
    """FROM, WHERE and ORDER BY of a chunk's rows `s`, of these verdicts or all; or of each of their keys or
    points.
    """
    joins, where, order = _EACH[each]
    named = ", ".join(f"'{verdict}'" for verdict in verdicts)
    return (
        f"FROM crm_importstage s {joins} WHERE s.job_id = %(job)s AND s.row_no BETWEEN %(first)s AND %(last)s"
        f"{f' AND s.verdict IN ({named})' if named else ''} {where} ORDER BY s.row_no{order}"
    )


@dataclass(frozen=True)
class Chunk:
    """Rows `first` to `last` of an import, written at `at` on behalf of `by`."""

    job: ImportJob
    first: int
    last: int
    by: Actor
    at: datetime

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """What the statements of this chunk are given."""
        owner, team = first_hands(self.by, channel=Channel.CSV, source=self.job.source)  # type: ignore[arg-type]
        return {
            "job": self.job.pk,
            "first": self.first,
            "last": self.last,
            "at": self.at,
            "source": self.job.source_id,
            "currency": self.job.source.currency,  # type: ignore[union-attr]
            "owner": owner and owner.pk,
            "team": team and team.pk,
            "channel": Channel.CSV,
            "row_key": ROW_KEY,
            "actor_kind": self.by.kind,
            "actor": self.by.user and self.by.user.pk,
            "actor_label": self.by.label[:120],
            "came_in": opening(Channel.CSV, again=False),
            "asked_again": opening(Channel.CSV, again=True),
            "updated": _("updated from the file %s") % self.job.file_name[:200],
        }
