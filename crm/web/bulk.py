"""One act on many leads of the list: ask what and how many, watch it, take it back.

The boxes of the list are a plain form, so all of it works without JavaScript; with it the question comes in
the dialog and the progress is shown there.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from crm import clock
from crm.actions.bulk import UNDO, bulk_undos, cancel_bulk, own_bulk, start_bulk
from crm.errors import CRMError, InvalidValue
from crm.models import Job, JobState, Lead, Stage, Tag, Team, User
from crm.permissions import Verb, require
from crm.web import words
from crm.web.base import by, person, piece, read_uuid, say, say_no, screen
from crm.web.lead_changes import chosen_owner, listed_people, local_time, lost_reasons, snooze_choices
from crm.web.lead_filters import COUNT_CAP, LeadFilters

POOL = "pool"  # the choice to give them back
MOST_CHOSEN = 500  # boxes; more are chosen by the filters
ACTS = {
    "assign": gettext_lazy("Assign"),
    "tag": gettext_lazy("Tag"),
    "snooze": gettext_lazy("Snooze"),
    "disqualify": gettext_lazy("Disqualify"),
}
WORKING = (JobState.QUEUED, JobState.RUNNING)


@dataclass(slots=True)
class Choice:
    """Which leads: by their boxes, or all that pass the filters of the list."""

    act: str
    filters: LeadFilters
    ids: list[UUID] = field(default_factory=list)
    is_all: bool = False

    @classmethod
    def read(cls, query: QueryDict) -> "Choice":
        """Raises BadRequest for what the list's form cannot send."""
        own = query.copy()
        act, ids = str(own.pop("act", [""])[-1]), own.pop("lead", [])
        is_all = bool(own.pop("all", []))
        own.pop("sort", None)
        if act not in ACTS:
            raise BadRequest("There is no such act.")
        if len(ids) > MOST_CHOSEN:
            raise BadRequest(f"Choose at most {MOST_CHOSEN} leads by their boxes.")
        keys = [read_uuid(text) for text in ids]
        if None in keys:
            raise BadRequest("A lead's id is none of ours.")
        return cls(act, LeadFilters.read(own), [key for key in keys if key], is_all)

    def count(self, user: User) -> int:
        """How many of them the person sees now, counted up to COUNT_CAP + 1."""
        leads = Lead.objects.visible_to(user)
        if self.is_all:
            found = self.filters.narrow(leads, user=user, now=clock.now()).order_by()
            return found[: COUNT_CAP + 1].count()
        return leads.filter(public_id__in=self.ids).count()

    @property
    def selection(self) -> dict[str, Any]:
        """As `start_bulk` takes it."""
        return {"filters": self.filters.filters} if self.is_all else {"ids": self.ids}

    @property
    def list_url(self) -> str:
        return reverse("crm:lead_list") + self.filters.url()


@screen
@require_http_methods(["GET", "POST"])
def bulk_ask(request: HttpRequest) -> HttpResponse:
    """What exactly, and to how many; a POST starts it."""
    choice, user = Choice.read(request.GET), person(request)
    require(by(request), Verb.REASSIGN if choice.act == "assign" else Verb.EDIT)
    if not choice.is_all and not choice.ids:
        say_no(request, _("Choose leads first: tick the boxes before their names."))
        return redirect(choice.list_url)
    error = ""
    if request.method == "POST":
        try:
            job = _start(request, choice)
        except CRMError as refused:
            error = str(refused)
        else:
            if request.htmx:  # type: ignore[attr-defined]
                return piece(request, "crm/partials/bulk_body.html", _progress(job))
            return redirect("crm:bulk", public_id=job.public_id)
    return _sheet(request, choice, user, error)


def _start(request: HttpRequest, choice: Choice) -> Job:
    act, given = choice.act, request.POST
    values: dict[str, Any] = {}
    if act == "assign":
        owner = given.get("owner", "")
        if not owner:
            raise InvalidValue(_("Choose who takes them."), field="owner")
        values["owner"] = None if owner == POOL else chosen_owner(owner)
    elif act == "tag":
        act = "untag" if given.get("do") == "untag" else "tag"
        tag_id = read_uuid(given.get("tag", ""))
        tag = Tag.objects.filter(public_id=tag_id).first() if tag_id else None
        if tag is None:
            raise InvalidValue(_("Choose a tag from the list."), field="tag")
        values["tag"] = tag
    elif act == "snooze":
        values["until"] = local_time(given.get("until", "") or given.get("own", ""), "until")
    else:
        values["reason"] = given.get("reason", "") or given.get("own", "")
    return start_bulk(act, by=by(request), **choice.selection, **values)


def _sheet(request: HttpRequest, choice: Choice, user: User, error: str) -> HttpResponse:
    count = choice.count(user)
    number = words.capped(count, COUNT_CAP)
    titles = {
        "assign": ngettext("Who takes %(n)s lead?", "Who takes %(n)s leads?", count),
        "tag": ngettext("Tag %(n)s lead", "Tag %(n)s leads", count),
        "snooze": ngettext("Let %(n)s lead sleep until", "Let %(n)s leads sleep until", count),
        "disqualify": ngettext("Why is %(n)s lead no lead?", "Why are %(n)s leads no leads?", count),
    }
    context: dict[str, Any] = {
        "act": choice.act,
        "title": titles[choice.act] % {"n": number},
        "count": count,
        "error": error,
        "address": request.get_full_path(),
        "in_dialog": bool(request.htmx),  # type: ignore[attr-defined]
        "back_url": choice.list_url,
        "back": _("Leads"),
        "sheet": "crm/partials/sheet_bulk.html",
    }
    if choice.act == "assign":
        teams = list(Team.objects.of(user).values_list("pk", flat=True))
        nobody = [("", _("Choose…")), (POOL, _("Nobody (team’s pool)"))]
        context["owners"] = [*nobody, *listed_people(user, teams)]
    elif choice.act == "tag":
        context["tags"] = list(Tag.objects.order_by("name"))
        context["may_make"] = user.is_staff
    elif choice.act == "snooze":
        context["choices"] = snooze_choices(clock.now())
    else:
        context["reasons"] = lost_reasons()
    if request.htmx:  # type: ignore[attr-defined]
        return piece(request, context["sheet"], context)
    return render(request, "crm/sheet.html", context, status=422 if error else 200)


@screen
@require_GET
def bulk_page(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """How far it is, then what came of it."""
    return render(request, "crm/bulk.html", _progress(_job(request, public_id)))


@screen
@require_GET
def bulk_body(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The part that changes by itself."""
    progress = _progress(_job(request, public_id)) | {"is_piece": True}
    return piece(request, "crm/partials/bulk_body.html", progress)


@screen
@require_POST
def bulk_cancel(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Stop it; what is done stays, and can be taken back."""
    job = _job(request, public_id)
    try:
        cancel_bulk(job.pk, by=by(request))
    except CRMError as refused:
        say_no(request, refused)
    else:
        say(request, _("Stopped"))
    return redirect("crm:bulk", public_id=public_id)


def _job(request: HttpRequest, public_id: UUID) -> Job:
    return get_object_or_404(own_bulk(by(request)), public_id=public_id)


def _progress(job: Job) -> dict[str, Any]:
    """What the page shows of the job. Four small queries at most."""
    result, is_back = job.result, job.cursor["phase"] == UNDO
    is_busy = job.state in WORKING
    done = result.get("undone" if is_back else "changed", 0)
    left = result.get("kept" if is_back else "refused", 0)
    told = result.get("kept_rows" if is_back else "refusals", [])
    counts = [
        (_("Put back") if is_back else _("Done"), words.whole(done), "up"),
        (_("Kept as they are") if is_back else _("Refused"), words.whole(left), "dn" if left else ""),
    ]
    if not is_back:
        counts.append((_("Were so already"), words.whole(result.get("same", 0)), ""))
    if result.get("missing") and not is_back:
        counts.append((_("Gone or out of sight"), words.whole(result["missing"]), ""))
    return {
        "job": job,
        "title": _title(job),
        "is_busy": is_busy,
        "is_back": is_back,
        "is_stopped": job.state == JobState.CANCELLED,
        "done": words.whole(job.done),
        "total": words.whole(job.total),
        "share": 100 * job.done // job.total if job.total else 100,
        "counts": [] if is_busy else counts,
        "told": told,
        "more": max(left - len(told), 0),
        "undo": bulk_undos([job]).get(job.pk),
    }


def _title(job: Job) -> str:
    """The act in words."""
    values, act = job.cursor["values"], job.cursor["act"]
    if act == "assign":
        owner = User.objects.filter(pk=values["owner"]).first() if values["owner"] else None
        return _("Assign to %s") % owner if owner else _("Put back into the team’s pool")
    if act in {"tag", "untag"}:
        tag = Tag.objects.filter(pk=values["tag"]).first() or "–"
        return (_("Tag “%s”") if act == "tag" else _("Take the tag “%s” off")) % tag
    if act == "stage":
        return _("Move to %s") % (Stage.objects.filter(pk=values["stage"]).first() or "–")
    if act == "disqualify":
        return _("Disqualify: %s") % values["reason"]
    return _("Snooze")
