"""What people change on a lead page: fields in place, notes, owner, sleep, the end, and undo."""

from collections.abc import Callable, Sequence
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from crm import clock
from crm.actions.base import undo
from crm.actions.lead_plans import default_plan
from crm.actions.leads import (
    add_note,
    assign_lead,
    disqualify_lead,
    plan_next_action,
    reopen_lead,
    snooze_lead,
    start_work,
    update_lead,
)
from crm.actions.overrides import lift_override, override_score
from crm.actions.tags import tag_record, untag_record
from crm.errors import CRMError, InvalidValue, VersionConflict
from crm.imports.values import typed_amount
from crm.models import CustomField, FieldType, Lead, Role, ScoreSource, Tag, Undo, User
from crm.web.base import back, by, changed, person, piece, read_uuid, say, say_no, screen, toasts
from crm.web.details import CUSTOM, DetailField, find, local_input
from crm.web.lead import lead_page, visible_lead


@screen
@require_http_methods(["GET", "POST"])
def lead_field(request: HttpRequest, public_id: UUID, name: str) -> HttpResponse:
    """One field in place: GET gives its form, POST saves it."""
    one = visible_lead(request, public_id)
    line = find(one, name)
    if line is None:
        raise Http404
    if line.kind == "owner":
        line.options = owners(person(request), one)
    if request.method == "GET":
        template = "field_shown" if request.GET.get("cancel") else "field_edit"
        return _field(request, one, line, template)
    try:
        saved = _save_field(request, one, line)
    except VersionConflict as conflict:
        return _conflict(request, conflict.details["current"], line, name)
    except CRMError as refused:
        line.error, line.raw = str(refused), request.POST.get("value", "")
        line.extra = request.POST.get("extra", line.extra)
        return _field(request, one, line, "field_edit")
    say(request, _("Saved"), undo=getattr(saved, "undo_offer", None))
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("crm:lead", public_id=public_id)
    fresh = visible_lead_or_gone(request, public_id)
    if fresh is None:
        return _gone()
    return changed(_field(request, fresh, find(fresh, name) or line, "field_shown", flash=True))


def visible_lead_or_gone(request: HttpRequest, public_id: UUID) -> Lead | None:
    """The lead after a change; None when the person gave it away and no longer sees it."""
    leads = Lead.objects.visible_to(person(request)).select_related("owner", "source", "team")
    return leads.filter(public_id=public_id).first()


def _gone() -> HttpResponse:
    """Leave the page of a lead that is no longer the person's to see."""
    response = HttpResponse(status=204)
    response["HX-Redirect"] = "/"
    return response


def _save_field(request: HttpRequest, one: Lead, line: DetailField) -> Lead:
    """Call the action that owns the field. Raises CRMError."""
    value, actor = request.POST.get("value", ""), by(request)
    if line.kind == "owner":
        return assign_lead(one.pk, by=actor, owner=chosen_owner(value))
    version = _version_to_send(request, one, line)
    if line.kind == "plan":
        at = local_time(value, "at") if value else None
        return plan_next_action(one.pk, by=actor, at=at, kind=request.POST.get("extra", ""), version=version)
    if line.name.startswith(CUSTOM):
        key = line.name.removeprefix(CUSTOM)
        return update_lead(one.pk, by=actor, version=version, custom={key: _custom_value(key, value)})
    changes: dict[str, Any] = {line.name: value}
    if line.name == "est_value":
        amount, currency = typed_amount(value) if value.strip() else (None, "")
        changes = {
            "est_value": amount,
            "currency": currency or request.POST.get("extra", one.currency),
        }
    return update_lead(one.pk, by=actor, version=version, **changes)


def _version_to_send(request: HttpRequest, one: Lead, line: DetailField) -> int:
    """The version the person saw, or the present one while nobody touched this very field since."""
    if request.POST.get("was", "") == line.raw:
        return one.version
    text = request.POST.get("version", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _custom_value(key: str, value: str) -> Any:
    """The posted text as the field's type; an empty one removes the key."""
    if not value:
        return None
    kind = CustomField.objects.filter(target="lead", key=key).values_list("type", flat=True).first()
    if kind == FieldType.BOOLEAN:
        return value == "true"
    if kind == FieldType.NUMBER:
        try:
            return float(value) if "." in value else int(value)
        except ValueError:
            raise InvalidValue(_("Write a number."), field="custom") from None
    return value


def _conflict(request: HttpRequest, current: Lead, line: DetailField, name: str) -> HttpResponse:
    """Both values, and the choice between them."""
    theirs = find(current, name)
    line.theirs = (theirs.shown if theirs else "") or "–"
    line.raw = request.POST.get("value", "")
    line.extra = request.POST.get("extra", line.extra)
    return _field(request, current, line, "field_edit", was=theirs.raw if theirs else "")


def _field(
    request: HttpRequest,
    one: Lead,
    line: DetailField,
    template: str,
    *,
    flash: bool = False,
    was: str | None = None,
) -> HttpResponse:
    if not request.htmx:  # type: ignore[attr-defined]
        if line.error or line.theirs:
            say_no(request, line.error or _("Someone else changed this first: %s") % line.theirs)
        return redirect(f"/leads/{one.public_id}/?field={line.name}")
    before = find(one, line.name)
    context = {
        "lead": one,
        "line": line,
        "was": was if was is not None else (before.raw if before else ""),
        "flash": flash,
        "may_edit": True,
    }
    return piece(request, f"crm/partials/{template}.html", context)


def owners(user: User, one: Lead) -> list[tuple[str, str]]:
    """Who may be chosen as owner, by public id: the lead's team for most, everybody for an admin.

    The present owner is always among them, or a form about something else would give the lead away.
    """
    teams = [one.team_id] if one.team_id else None
    listed = listed_people(user, teams)
    now = one.owner
    if now is not None and (str(now.public_id), str(now)) not in listed:
        listed.insert(0, (str(now.public_id), str(now)))
    return [("", _("Nobody (team’s pool)")), *listed]


def listed_people(user: User, teams: Sequence[int] | None) -> list[tuple[str, str]]:
    """People who can own leads, by public id: an admin sees all of them, others those of these teams."""
    people = User.objects.active().exclude(role=Role.READ_ONLY)
    if user.role != Role.ADMIN and teams is not None:
        people = people.filter(memberships__team__in=teams).distinct()
    return [(str(person.public_id), str(person)) for person in people.order_by("name", "email")[:200]]


def chosen_owner(value: str) -> User | None:
    if not value:
        return None
    public_id = read_uuid(value)
    owner = User.objects.filter(public_id=public_id).first() if public_id else None
    if owner is None:
        raise InvalidValue(_("Choose a person from the list."), field="owner")
    return owner


def local_time(value: str, field: str) -> datetime:
    """A datetime-local value in the person's zone. Raises InvalidValue."""
    try:
        at = parse_datetime(value)
    except ValueError:
        at = None
    if at is None:
        raise InvalidValue(_("Write a date and a time."), field=field)
    return timezone.make_aware(at) if timezone.is_naive(at) else at


@screen
@require_POST
def lead_note(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Add a note from the composer."""
    one = visible_lead(request, public_id)
    try:
        add_note(one.pk, by=by(request), body=request.POST.get("body", "").replace("\r\n", "\n"))
    except CRMError as refused:
        if not request.htmx:  # type: ignore[attr-defined]
            say_no(request, refused)
            return lead_page(request, public_id)
        context = {"lead": one, "error": str(refused), "body": request.POST.get("body", ""), "may_edit": True}
        return piece(request, "crm/partials/composer.html", context)
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect(f"/leads/{public_id}/#timeline")
    return changed(piece(request, "crm/partials/composer.html", {"lead": one, "may_edit": True}))


def _sheet(
    request: HttpRequest, one: Lead, template: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    """A small form: in the dialog for htmx, as a page of its own without."""
    context = {"lead": one, **context}
    if request.htmx:  # type: ignore[attr-defined]
        return piece(request, f"crm/partials/{template}.html", context, status)
    return render(
        request, "crm/sheet.html", {**context, "sheet": f"crm/partials/{template}.html"}, status=status
    )


def _act(
    request: HttpRequest, one: Lead, act: Callable[[], Any], done: str, template: str, context: dict[str, Any]
) -> HttpResponse:
    """Run an action of a small form: close it with a toast and an Undo, or show it again with the reason."""
    try:
        result = act()
    except CRMError as refused:
        status = 200 if request.htmx else refused.status  # type: ignore[attr-defined] # htmx shows only what is 200
        shown = {**context, "error": str(refused), "error_field": refused.field}
        return _sheet(request, one, template, shown, status)
    say(request, done, undo=getattr(result, "undo_offer", None))
    if not request.htmx:  # type: ignore[attr-defined]
        return back(request, f"/leads/{one.public_id}/")
    response = HttpResponse(toasts(request))
    response["HX-Trigger"] = "changed, sheet-close"
    return response


@screen
@require_http_methods(["GET", "POST"])
def lead_snooze(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Let the lead sleep until a time."""
    one = visible_lead(request, public_id)
    context: dict[str, Any] = {"choices": snooze_choices(clock.now())}
    if request.method == "GET":
        return _sheet(request, one, "sheet_snooze", context)
    value = request.POST.get("until", "") or request.POST.get("own", "")

    def act() -> Lead:
        return snooze_lead(one.pk, by=by(request), until=local_time(value, "until"))

    return _act(request, one, act, _("%(name)s sleeps") % {"name": one.name}, "sheet_snooze", context)


def snooze_choices(now: datetime) -> list[tuple[str, str, str]]:
    """Value, words and exact time of the usual choices, at nine in the person's morning."""
    today = timezone.localtime(now).date()
    monday = today + timedelta(days=7 - today.weekday())
    days = [
        (today + timedelta(days=1), _("Tomorrow")),
        (today + timedelta(days=3), _("In three days")),
        (monday, _("Next Monday")),
        (today + timedelta(days=30), _("In a month")),
    ]
    choices = []
    for day, label in days:
        at = timezone.make_aware(datetime.combine(day, time(9)))
        choices.append((local_input(at), label, timezone.localtime(at).strftime("%a %d %b, %H:%M")))
    return choices


@screen
@require_http_methods(["GET", "POST"])
def lead_assign(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Give the lead to somebody."""
    one = visible_lead(request, public_id)
    context: dict[str, Any] = {
        "owners": owners(person(request), one),
        "current": str(one.owner.public_id) if one.owner else "",
    }
    if request.method == "GET":
        return _sheet(request, one, "sheet_assign", context)

    def act() -> Lead:
        return assign_lead(one.pk, by=by(request), owner=chosen_owner(request.POST.get("owner", "")))

    response = _act(request, one, act, _("%(name)s assigned") % {"name": one.name}, "sheet_assign", context)
    return response if visible_lead_or_gone(request, public_id) else _gone()


@screen
@require_http_methods(["GET", "POST"])
def lead_disqualify(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Take the lead out of the work, with a reason."""
    one = visible_lead(request, public_id)
    reasons = lost_reasons()
    if request.method == "GET":
        return _sheet(request, one, "sheet_disqualify", {"reasons": reasons})
    reason = request.POST.get("reason", "") or request.POST.get("own", "")

    def act() -> Lead:
        return disqualify_lead(one.pk, by=by(request), reason=reason)

    done = _("%(name)s disqualified") % {"name": one.name}
    return _act(request, one, act, done, "sheet_disqualify", {"reasons": reasons})


def lost_reasons() -> list[str]:
    """The usual reasons to disqualify."""
    return [_("No budget"), _("Not our area"), _("Bought elsewhere"), _("Never answered"), _("Spam")]


@screen
@require_http_methods(["GET", "POST"])
def lead_override(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Set the score by hand, with a reason and an end; or let it be judged again."""
    one = visible_lead(request, public_id)
    posted = request.POST
    context: dict[str, Any] = {
        "typed": posted.get("value", "") or one.score,
        "why": posted.get("reason", ""),
        "ends": [("7", _("in a week")), ("30", _("in 30 days")), ("90", _("in 90 days"))],
        "chosen": posted.get("days", "30"),
        "is_set": one.score_source == ScoreSource.OVERRIDE,
    }
    if request.method == "GET":
        return _sheet(request, one, "sheet_override", context)

    def act() -> Lead:
        if "lift" in posted:
            return lift_override(one.pk, by=by(request), reason=context["why"])
        return override_score(
            one.pk,
            by=by(request),
            value=_small_number(posted.get("value", ""), "value"),
            reason=context["why"],
            until=clock.now() + timedelta(days=_small_number(context["chosen"], "until"))
            if context["chosen"]
            else None,
        )

    done = _("The score is judged again") if "lift" in posted else _("Score set")
    return _act(request, one, act, done, "sheet_override", context)


def _small_number(text: str, field: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 4):
        raise InvalidValue(_("Write a whole number."), field=field)
    return int(text)


@screen
@require_http_methods(["GET", "POST"])
def lead_tags(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Stick a tag on, or take one off."""
    one = visible_lead(request, public_id)
    on = set(Tag.objects.filter(taggings__lead=one).values_list("pk", flat=True))
    tags = list(Tag.objects.order_by("name"))
    context: dict[str, Any] = {
        "tags": [(tag, tag.pk in on) for tag in tags],
        "may_make": person(request).is_staff,
    }
    if request.method == "GET":
        return _sheet(request, one, "sheet_tags", context)
    chosen = next((tag for tag in tags if str(tag.public_id) == request.POST.get("tag")), None)

    def act() -> Any:
        if chosen is None:
            raise InvalidValue(_("Choose a tag from the list."), field="tag")
        return (untag_record if chosen.pk in on else tag_record)("lead", one.pk, by=by(request), tag=chosen)

    done = _("Tag taken off") if chosen and chosen.pk in on else _("Tagged")
    return _act(request, one, act, done, "sheet_tags", context)


@screen
@require_POST
def lead_status(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Start work on a new lead, or reopen a disqualified one."""
    one = visible_lead(request, public_id)
    move = {"work": start_work, "reopen": reopen_lead}.get(request.POST.get("to", ""))
    if move is None:
        raise Http404
    try:
        move(one.pk, by=by(request), **default_plan())
    except CRMError as refused:
        say_no(request, refused)
    if not request.htmx:  # type: ignore[attr-defined]
        return back(request, f"/leads/{public_id}/")
    return changed(HttpResponse(toasts(request)))


@screen
@require_POST
def undo_view(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Take back what a toast offered."""
    try:
        taken_back = undo(public_id, by=by(request))
    except Undo.DoesNotExist:
        raise Http404 from None
    except CRMError as refused:
        say_no(request, refused)
    else:
        say(request, _("Undone: %s") % taken_back.label)
    if not request.htmx:  # type: ignore[attr-defined]
        return back(request, "/")
    return changed(HttpResponse(toasts(request)))
