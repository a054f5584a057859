"""One act on many records, as a job: sliced, resumable, with its rows' refusals named and 7 days to undo it.

The rows are written down once, when the job is made: what comes to pass the filter later is not touched, and
what leaves it is. Each row then takes the step of the action for one record (crm/actions/steps), so it obeys
the same rules, writes the same story and keeps the same before-values; a refused row is counted and named,
and the rest goes on. The slices are worked on in bulk_running.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from crm import clock, events
from crm.actions.base import offer_undo, undoable
from crm.actions.personal_data import ERASED
from crm.actions.record_lists import checked_list_filters, narrow
from crm.actions.tags import MODELS
from crm.errors import InvalidValue, TransitionRefused
from crm.models import (
    Actor,
    ActorKind,
    BulkRow,
    BulkState,
    ErasureLedger,
    Job,
    JobState,
    Stage,
    Tag,
    Undo,
    User,
)
from crm.permissions import Verb, require

KIND = "bulk"
MOST_ROWS = 200_000
NAMED = 20  # refused rows whose names a job tells
UNDO_FOR = timedelta(days=7)
STALLED = timedelta(minutes=2)
RUN, UNDO = "run", "undo"
ACTS = {
    "assign": {"lead", "opportunity"},
    "tag": set(MODELS),
    "untag": set(MODELS),
    "snooze": {"lead"},
    "disqualify": {"lead"},
    "stage": {"opportunity"},
}


@transaction.atomic
def start_bulk(
    act: str,
    *,
    by: Actor,
    target: str = "lead",
    ids: Sequence[UUID | str] | None = None,
    filters: Mapping[str, str] | None = None,
    records: QuerySet[Any] | None = None,
    **values: Any,
) -> Job:
    """Write down the rows and queue the work. Rows are the public `ids`, or all that pass the `filters`, or
    these `records`; of all of them only what `by` may see.

    `act`: assign (`owner`: User or None), tag and untag (`tag`: Tag), snooze (`until`: datetime, `reason`),
    disqualify (`reason`), stage (`stage`: Stage). Ids that `by` may not see are counted as missing.
    Raises PermissionRefused, InvalidValue naming the field. Publishes BulkDue. Undoable for 7 days.
    """
    if by.user is None:
        raise InvalidValue(_("A bulk act needs a person."), field="by")
    if target not in ACTS.get(act, ()):
        raise InvalidValue(_("This cannot be done to many at once."), field="act")
    require(by, Verb.REASSIGN if act == "assign" else Verb.EDIT)
    stored = _stored(act, values)
    if records is None:
        rows, asked = _selected(target, ids, filters, by=by)
    else:
        rows, asked = (
            MODELS[target].objects.visible_to(by).filter(pk__in=records.order_by().values("pk")),
            None,
        )
    job = Job.objects.create(
        kind=KIND,
        created_by=by.user,
        cursor={
            "phase": RUN,
            "act": act,
            "target": target,
            "values": stored,
            "token": _token_of(by),
        },
    )
    job.total = _write_down(job, rows)
    job.result = {"missing": max(asked - job.total, 0) if asked is not None else 0}
    undo_row = offer_undo(
        "bulk",
        by=by,
        label=_label(act, values, job.total),
        before={"job": job.pk},
        rows=[],
        window=UNDO_FOR,
    )
    assert undo_row is not None  # a person asked
    job.undo_offer = undo_row  # type: ignore[attr-defined]
    job.cursor["undo"] = str(undo_row.public_id)
    job.save(update_fields=["total", "result", "cursor"])
    events.publish(events.BulkDue(job.pk))
    return job


def own_bulk(by: Actor) -> QuerySet[Job]:
    """The bulk jobs that this person started."""
    return Job.objects.filter(kind=KIND, created_by=by.user) if by.user else Job.objects.none()


def _label(act: str, values: dict[str, Any], count: int) -> str:
    """What the toast and the list of undos call it."""
    done = {
        "assign": _("Assigned to %s") if values.get("owner") else _("Put back into the pool"),
        "tag": _("Tagged “%s”"),
        "untag": _("Took the tag “%s” off"),
        "snooze": _("Snoozed"),
        "disqualify": _("Disqualified: %s"),
        "stage": _("Moved to %s"),
    }[act]
    if "%s" in done:
        done %= values.get("owner") or values.get("tag") or values.get("stage") or values.get("reason")
    records = ngettext("%d record", "%d records", count) % count
    return f"{done[:170]} ({records})"


def bulk_undos(jobs: Sequence[Job]) -> dict[int, Undo]:
    """How those of the jobs that are over can be taken back, by their keys, in one query. Missing are those
    that changed nothing, are taken back already, or are too old.
    """
    offers = {
        job.cursor["undo"]: job.pk
        for job in jobs
        if job.finished_at and job.cursor["phase"] == RUN and job.result.get("changed")
    }
    rows = Undo.objects.filter(public_id__in=offers, undone_at=None, expires_at__gt=clock.now())
    return {offers[str(row.public_id)]: row for row in rows} if offers else {}


def _selected(
    target: str, ids: Sequence[UUID | str] | None, filters: Mapping[str, str] | None, *, by: Actor
) -> tuple[QuerySet[Any], int | None]:
    """(the rows that `by` may see, how many were asked for if by ids)."""
    if (ids is None) == (filters is None):
        raise InvalidValue(_("Choose records by their ids, or by filters."), field="ids")
    visible: QuerySet[Any] = MODELS[target].objects.visible_to(by)
    if filters is not None:
        checked = checked_list_filters(target, filters)
        return narrow(target, visible, checked, by=by, now=clock.now()), None
    assert ids is not None
    if not ids or len(ids) > MOST_ROWS:
        raise InvalidValue(_("Choose 1 to %d records.") % MOST_ROWS, field="ids")
    try:
        wanted = {UUID(str(one)) for one in ids}
    except ValueError:
        raise InvalidValue(_("An id is none of ours."), field="ids") from None
    return visible.filter(public_id__in=wanted), len(wanted)


def _write_down(job: Job, rows: QuerySet[Any]) -> int:
    """Store the rows, by id, in one statement. Raises InvalidValue (`filters`) for none or too many."""
    sql, parameters = rows.order_by("pk").values("pk")[: MOST_ROWS + 1].query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO crm_bulkrow (job_id, record_id, state, message)"  # noqa: S608 compiled by Django
            f" SELECT %s, id, 'waiting', '' FROM ({sql}) AS chosen (id)",
            [job.pk, *parameters],
        )
        count = cursor.rowcount
    if not count:
        raise InvalidValue(_("No record is chosen that you may see."), field="ids")
    if count > MOST_ROWS:
        raise InvalidValue(_("Choose at most %d records.") % MOST_ROWS, field="filters")
    return count


def _stored(act: str, values: dict[str, Any]) -> dict[str, Any]:
    """The act's values as JSON. Raises InvalidValue for one that is missing, wrong or too many."""
    needs: dict[str, tuple[str, ...]] = {
        "assign": ("owner",),
        "tag": ("tag",),
        "untag": ("tag",),
        "snooze": ("until",),
        "disqualify": ("reason",),
        "stage": ("stage",),
    }
    allowed = {*needs[act], *(["reason"] if act == "snooze" else [])}
    for name in (*needs[act], *values):
        if name not in values or name not in allowed:
            raise InvalidValue(_("This act takes: %s.") % ", ".join(sorted(allowed)), field=name[:60])
    kinds: dict[str, Any] = {
        "owner": User | None,
        "tag": Tag,
        "stage": Stage,
        "until": datetime,
        "reason": str,
    }
    for name, value in values.items():
        if not isinstance(value, kinds[name]) or (
            isinstance(value, str) and ("\0" in value or len(value) > 200)
        ):
            raise InvalidValue(_("This is not the right kind of value."), field=name)
    if act == "disqualify" and not values["reason"].strip():
        raise InvalidValue(_("Say why the leads are disqualified."), field="reason")
    if act == "snooze" and values["until"] <= clock.now():
        raise InvalidValue(_("Choose a time in the future, at most two years from now."), field="until")
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, str) else value.pk


def forget_names(job: Job) -> None:
    """Names of refused records, and the reason that was given, go from a job that is over. Saves it."""
    _forget(job)
    job.save(update_fields=["result", "cursor", "updated_at"])


def _forget(job: Job) -> None:
    job.result |= {name: [] for name in ("refusals", "kept_rows") if name in job.result}
    if job.cursor["values"].get("reason"):
        job.cursor["values"]["reason"] = ERASED
        Undo.objects.filter(public_id=job.cursor["undo"]).update(label=ERASED)


def _is_about_erased(job: Job) -> bool:
    """Whether somebody among the rows was erased while the job ran, when its reason was still needed."""
    target = job.cursor["target"]
    erased = ErasureLedger.objects.filter(erased_at__gte=job.created_at)
    ids = [found for entry in erased for found in (*entry.lead_ids, *entry.contact_ids)]
    if not ids or target not in {"lead", "contact", "opportunity"}:
        return False
    whose = {"opportunity": Q(lead__public_id__in=ids) | Q(primary_contact__public_id__in=ids)}
    theirs = MODELS[target].objects.filter(whose.get(target, Q(public_id__in=ids)))
    return theirs.filter(pk__in=BulkRow.objects.filter(job=job).values("record_id")).exists()


def finish(job: Job, phase: str) -> None:
    """Count what came of the rows, with the first refused ones by name. The caller saves the job."""
    states = dict(BulkRow.objects.filter(job=job).values_list("state").annotate(count=Count("pk")))
    told = BulkState.REFUSED if phase == RUN else BulkState.KEPT
    refused = list(BulkRow.objects.filter(job=job, state=told).order_by("record_id")[:NAMED])
    records = MODELS[job.cursor["target"]].objects.in_bulk([row.record_id for row in refused])
    counts = {state.value: states.get(state.value, 0) for state in BulkState if state != BulkState.WAITING}
    job.result = {
        **job.result,
        **counts,
        "refusals" if phase == RUN else "kept_rows": [
            {"name": str(records.get(row.record_id, row.record_id)), "reason": row.message} for row in refused
        ],
    }
    job.state, job.finished_at = JobState.DONE, clock.now()
    if _is_about_erased(job):
        _forget(job)


def _token_of(by: Actor) -> dict[str, Any] | None:
    return {"label": by.label, "scopes": sorted(by.scopes)} if by.kind == ActorKind.API else None


def actor_of(job: Job) -> Actor:
    """On whose behalf a job works or goes back: the person as they are now, or the token's scopes on their
    rights.
    """
    token = job.cursor.get("token")
    user = job.created_by
    assert user is not None
    if token:
        return Actor.api(user, label=token["label"], scopes=frozenset(token["scopes"]))
    return Actor.of(user)


@transaction.atomic
def cancel_bulk(job_id: int, *, by: Actor) -> Job:
    """Stop: what is done stays (and can be undone), the rest is left alone.

    Raises Job.DoesNotExist for somebody else's, TransitionRefused when it is over or on its way back.
    Publishes JobProgressed.
    """
    job = Job.objects.select_for_update(of=("self",)).get(pk=job_id, kind=KIND, created_by=by.user)
    if job.state not in {JobState.QUEUED, JobState.RUNNING}:
        raise TransitionRefused(_("This job is over already."))
    if job.cursor["phase"] == UNDO:
        raise TransitionRefused(_("It is being taken back, which cannot be stopped half-way."))
    finish(job, job.cursor["phase"])
    job.state = JobState.CANCELLED
    job.save()
    events.publish(events.JobProgressed(job.pk, job.state))
    return job


@undoable("bulk")
def _undo_bulk(row: Undo, by: Actor) -> None:
    """Queue the way back. It runs as the job did, in slices; rows that moved on stay and are named."""
    job = Job.objects.select_for_update(of=("self",)).get(pk=row.before["job"])
    job.cursor["phase"], job.state, job.finished_at = UNDO, JobState.QUEUED, None
    job.cursor["token"] = _token_of(by)  # who takes it back is told, not who began it
    job.total, job.done = BulkRow.objects.filter(job=job, state=BulkState.CHANGED).count(), 0
    job.save()
    events.publish(events.BulkDue(job.pk))


def stalled_bulk(at: datetime) -> list[int]:
    """Jobs without a slice for STALLED, for the sweep: their worker died, or their place in the queue did."""
    waiting = Job.objects.filter(kind=KIND, state__in=[JobState.QUEUED, JobState.RUNNING])
    return list(waiting.filter(updated_at__lt=at - STALLED).values_list("pk", flat=True))
