"""How fast people answer, whether every lead has a next step, and who has how much to do."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet

from crm.figures.scope import Asker, Period, rows_of, visible_ids
from crm.models import Lead, Opportunity, Task, User

FIRST_ANSWER = """
    WITH waits AS (
        SELECT extract(epoch FROM answer.at - asked.at) AS s
          FROM crm_lead lead
         CROSS JOIN LATERAL (SELECT min(received_at) AS at FROM crm_inquiry
                              WHERE lead_id = lead.id AND state <> 'spam') asked
          LEFT JOIN LATERAL (
               SELECT min(at) AS at FROM (
                   SELECT min(sent_at) AS at FROM crm_message
                    WHERE lead_id = lead.id AND direction = 'out' AND state = 'sent' AND sent_at >= asked.at
                   UNION ALL
                   SELECT min(occurred_at) FROM crm_calllog
                    WHERE lead_id = lead.id AND direction = 'out' AND occurred_at >= asked.at
                      AND disposition IN ('answered', 'call_back', 'voicemail')) tried
          ) answer ON true
         WHERE asked.at >= %s AND asked.at < %s AND lead.id IN ({leads})
    )
    SELECT count(*), count(s), percentile_cont(0.5) WITHIN GROUP (ORDER BY s),
           percentile_cont(0.9) WITHIN GROUP (ORDER BY s), count(*) FILTER (WHERE s <= %s)
      FROM waits
"""


@dataclass(frozen=True, slots=True)
class FirstAnswers:
    """Of `asked` leads whose first inquiry lies in the period, `answered` got a mail from us or a call that
    reached them or their mailbox, `in_time` of them within the agreed time. Median and 90th percentile in
    seconds, of the answered ones.
    """

    asked: int
    answered: int
    median_s: float | None
    p90_s: float | None
    in_time: int

    @property
    def share_in_time(self) -> float | None:
        """Of all who asked: who still waits counts as late."""
        return self.in_time / self.asked if self.asked else None


def first_answers(who: Asker, period: Period, *, within: timedelta) -> FirstAnswers:
    """Speed to the first answer. One statement."""
    leads, parameters = visible_ids(Lead, who)
    rows = rows_of(
        FIRST_ANSWER.format(leads=leads),
        [period.since, period.until, *parameters, within.total_seconds()],
    )
    asked, answered, median, p90, in_time = rows[0]
    return FirstAnswers(asked, answered, _float(median), _float(p90), in_time)


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


@dataclass(frozen=True, slots=True)
class Discipline:
    """One person's open leads (`owner` None: the pool): with a next step, without, and with one overdue."""

    owner_id: int | None
    open: int
    planned: int
    unplanned: int
    overdue: int


def follow_up_discipline(who: Asker, *, at: datetime) -> list[Discipline]:
    """By owner, whoever has most without a next step first. One statement."""
    rows: QuerySet[Any] = Lead.objects.visible_to(who).open().order_by().values("owner_id")
    rows = rows.annotate(
        open_=Count("pk"),
        planned=Count("pk", filter=Q(next_action_at__isnull=False)),
        unplanned=Count("pk", filter=Q(next_action_at=None)),
        overdue=Count("pk", filter=Q(next_action_at__lt=at)),
    ).order_by("-unplanned", "owner_id")
    return [
        Discipline(row["owner_id"], row["open_"], row["planned"], row["unplanned"], row["overdue"])
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Load:
    """What one person has to do now, of what the asker may see. `capacity` is in open leads."""

    user: User
    leads: int
    opportunities: int
    tasks: int
    capacity: int


def workload(who: Asker) -> list[Load]:
    """Everybody who owns something open, the fullest first. Four statements."""
    leads = _by(Lead.objects.visible_to(who).open(), "owner_id")
    cards = _by(Opportunity.objects.visible_to(who).open(), "owner_id")
    tasks = _by(Task.objects.visible_to(who).open(), "assignee_id")
    users = User.objects.filter(pk__in={*leads, *cards, *tasks})
    loads = [
        Load(user, leads.get(user.pk, 0), cards.get(user.pk, 0), tasks.get(user.pk, 0), user.capacity)
        for user in users
    ]
    return sorted(loads, key=lambda load: (-load.leads / max(load.capacity, 1), load.user.name))


def _by(rows: QuerySet[Any], column: str) -> dict[int, int]:
    counted = rows.exclude(**{column: None}).order_by().values(column).annotate(n=Count("pk"))
    return dict(counted.values_list(column, "n"))
