"""No lead falls asleep: each night, which open leads have no next step; their owners and managers are told.

The report is kept as the row `asleep_report` of Heartbeat, so that screens show it without counting.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Count
from django.utils import timezone, translation
from django.utils.translation import ngettext

from crm.actions.notifications import Line, notify
from crm.models import OPEN_STATUSES, Heartbeat, Lead, Role, TeamMember, User

REPORT = "asleep_report"
OWNERS_NAMED = 200
LEADS_NAMED = 10  # the longest asleep of each owner
FROM_HOUR = 3  # of the site's zone: after what the day before brought, before people start


def asleep_report(at: datetime) -> dict[str, Any]:
    """{"at", "total", "owners": [{"owner", "name", "count", "leads": [{"lead", "name", "since"}]}], "teams"}.

    `owner` is a public id, null for the pool. Owners and their leads are cut at OWNERS_NAMED and LEADS_NAMED,
    the fullest and oldest first; the counts are whole. Four statements.
    """
    groups = list(Lead.objects.asleep().order_by().values_list("owner", "team").annotate(count=Count("pk")))
    counts: dict[int | None, int] = {}
    teams: dict[int, list[int]] = {}  # team -> [all, nobody's]
    for owner_id, team_id, count in groups:
        counts[owner_id] = counts.get(owner_id, 0) + count
        if team_id is not None:
            seen = teams.setdefault(team_id, [0, 0])
            seen[0] += count
            seen[1] += count if owner_id is None else 0
    fullest = sorted(counts, key=lambda owner: (-counts[owner], owner or 0))[:OWNERS_NAMED]
    users = User.objects.in_bulk([owner for owner in fullest if owner is not None])
    oldest = _oldest(fullest)
    owners = [
        {
            "owner": str(users[owner].public_id) if owner is not None else None,
            "name": str(users[owner]) if owner is not None else "",
            "count": counts[owner],
            "leads": oldest.get(owner, []),
        }
        for owner in fullest
    ]
    return {"at": at.isoformat(), "total": sum(counts.values()), "owners": owners, "teams": teams}


def _oldest(owners: list[int | None]) -> dict[int | None, list[dict[str, str]]]:
    """The longest asleep leads of each. One statement; each owner walks its own index."""
    found: dict[int | None, list[dict[str, str]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT who.id, lead.public_id::text, lead.name, lead.status_changed_at
              FROM unnest(%s::bigint[]) AS who(id), LATERAL (
                   SELECT public_id, name, status_changed_at FROM crm_lead
                    WHERE owner_id IS NOT DISTINCT FROM who.id AND next_action_at IS NULL
                      AND status = ANY(%s) AND deleted_at IS NULL AND merged_into_id IS NULL
                    ORDER BY status_changed_at, id LIMIT %s) lead
            """,
            [owners, list(OPEN_STATUSES), LEADS_NAMED],
        )
        for owner, public_id, name, since in cursor.fetchall():
            found.setdefault(owner, []).append({"lead": public_id, "name": name, "since": since.isoformat()})
    return found


def last_report() -> dict[str, Any] | None:
    """What the last night found; None before the first."""
    return Heartbeat.objects.filter(name=REPORT).values_list("info", flat=True).first()


def is_due(at: datetime) -> bool:
    """Whether this night's check has not been made yet."""
    local = timezone.localtime(at)
    last = Heartbeat.objects.filter(name=REPORT).values_list("at", flat=True).first()
    return local.hour >= FROM_HOUR and (last is None or timezone.localtime(last).date() < local.date())


@transaction.atomic
def check_asleep(at: datetime) -> dict[str, Any]:
    """Make the report, keep it, and tell each owner and the managers of each team, once a day. Publishes
    NotificationAdded.
    """
    report = asleep_report(at)
    owners = [row | {"leads": [_nameless(lead) for lead in row["leads"]]} for row in report["owners"]]
    Heartbeat.objects.update_or_create(name=REPORT, defaults={"at": at, "info": report | {"owners": owners}})
    notify([*_to_owners(report, at), *_to_managers(report["teams"], at)])
    return report


def _nameless(lead: dict[str, str]) -> dict[str, str]:
    """As it is kept: by public id, so that erasing a person need not look here."""
    return {name: value for name, value in lead.items() if name != "name"}


def _to_owners(report: dict[str, Any], at: datetime) -> Iterator[Line]:
    ids = {row["owner"]: row["count"] for row in report["owners"] if row["owner"]}
    for user in User.objects.filter(public_id__in=ids, is_active=True):
        count = ids[str(user.public_id)]
        with translation.override(user.locale):
            text = ngettext(
                "%d open lead of yours has no next step.", "%d open leads of yours have no next step.", count
            )
        yield Line(user, "lead.asleep", text % count, f"asleep:{timezone.localtime(at).date()}")


def _to_managers(teams: dict[int, list[int]], at: datetime) -> Iterator[Line]:
    managers = TeamMember.objects.filter(team__in=teams, user__role=Role.MANAGER, user__is_active=True)
    for member in managers.select_related("user", "team"):
        count, unowned = teams[member.team_id]
        with translation.override(member.user.locale):
            text = ngettext(
                "%(team)s: %(n)d open lead has no next step, %(pool)d of the pool.",
                "%(team)s: %(n)d open leads have no next step, %(pool)d of the pool.",
                count,
            ) % {"team": member.team, "n": count, "pool": unowned}
        day = timezone.localtime(at).date()
        yield Line(member.user, "team.asleep", text, f"asleep:{day}:team:{member.team_id}")
