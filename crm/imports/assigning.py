"""Giving the leads that an import made to people, slice by slice, after all rows are written.

Each slice goes through crm.actions.assignment, as every other lead; people are told once, at the end.
"""

from collections import Counter

from django.db import connection
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from crm.actions.assignment import deal
from crm.actions.notifications import Line, notify
from crm.models import ImportAssign, ImportJob, ImportRow, Notification, User, Verdict


def assign_rows(job: ImportJob, *, after: int, limit: int) -> tuple[int | None, Counter[int]]:
    """The next slice behind a row, in the caller's transaction. Returns (its last row, None at the end; how
    many each person got). Publishes LeadAssigned.
    """
    made = ImportRow.objects.filter(job=job, row_no__gt=after, verdict=Verdict.CREATE, lead__isnull=False)
    rows = list(made.order_by("row_no").values_list("row_no", "lead_id")[:limit])
    if not rows:
        return None, Counter()
    to = job.assign_to if job.assign == ImportAssign.USER else None
    if to is not None and not to.is_active:
        return None, Counter()  # left meanwhile: the leads wait in the pool
    ids = [lead_id for _row_no, lead_id in rows]
    reason = _("The import of %(file)s gives its leads to %(who)s.") % {"file": job.file_name, "who": to}
    given = deal(ids, to=to, reason=reason)
    _note_versions(job, rows[0][0], rows[-1][0])
    return rows[-1][0], given


def _note_versions(job: ImportJob, first: int, last: int) -> None:
    """So that undo sees whether anybody touched a lead since. Whose lead was edited before keeps no note."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE crm_importrow AS row
               SET before = coalesce(nullif(row.before, 'null'), '{}')
                            || jsonb_build_object('version', lead.version)
              FROM crm_lead AS lead
             WHERE row.job_id = %s AND row.row_no BETWEEN %s AND %s AND row.verdict = %s
               AND lead.id = row.lead_id AND lead.owner_id IS NOT NULL
               AND lead.version = coalesce((row.before ->> 'version')::int, 1) + 1
            """,
            [job.pk, first, last, Verdict.CREATE],
        )


def tell_assigned(job: ImportJob) -> None:
    """One line for each person: how many leads of the file are theirs. Publishes NotificationAdded."""
    counts: dict[str, int] = job.options.get("assigned", {})
    lines = []
    for user in User.objects.filter(pk__in=list(counts)):
        number = counts[str(user.pk)]
        with translation.override(user.locale):
            text = ngettext(
                "%(n)d new lead for you from %(file)s", "%(n)d new leads for you from %(file)s", number
            ) % {"n": number, "file": job.file_name}
        lines.append(Line(user, "lead.assigned", text, _told_as(job)))
    notify(lines)


def forget_assigned(job: ImportJob) -> None:
    """When the import is taken back: nobody is told any more of leads that are gone."""
    Notification.objects.filter(dedup_key=_told_as(job)).delete()


def _told_as(job: ImportJob) -> str:
    return f"import:{job.pk}:assigned"
