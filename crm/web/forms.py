"""Public forms: a page, a variant for frames of other sites, and the target of a customer's own HTML.

No session, no cookie, no JavaScript. The browser stops a person who left something out; whatever reaches us
is kept and gets the same thanks, so that nothing is lost and nobody learns what was taken for spam.
"""

import json
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from django.conf import settings
from django.core import signing
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.utils import translation
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from crm.actions.capture import Submission, confirm_inquiry, count_submission, form_behind, submit_form
from crm.actions.capture_forms import CUSTOM
from crm.actions.spam import Signals
from crm.errors import LinkExpired, RateLimited
from crm.models import CaptureForm, CustomField, FieldType
from crm.web.base import client_address

HONEYPOT = "website"
SHOWN_AT, KEY, NEXT, CONSENT = "shown_at", "key", "next", "consent"
UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
_OURS = {HONEYPOT, SHOWN_AT, KEY, NEXT, CONSENT, *UTM}  # names that are not the customer's
# What says yes to the consent. Everything else is a no: who guesses here invents somebody's consent.
AGREED = frozenset("1 on true yes y ok agree agreed accept accepted ja j oui si sí sì sim tak".split())
_FORM_TYPES = {"application/x-www-form-urlencoded", "multipart/form-data"}
_SALT = "crm.form"
_KEY = re.compile(r"[0-9a-f-]{36}")
_TYPES = {"email": "email", "phone": "tel"}
_FILLS = {
    "name": "name",
    "company": "organization",
    "title": "organization-title",
    "email": "email",
    "phone": "tel",
    "country": "country",
    "physical_address": "street-address",
}
_LONG = {"message": 20_000, "physical_address": 500}


# Exempt from CSRF: strangers have no session to abuse, the form sets no cookie, and its origin is checked.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def form_page(request: HttpRequest, slug: str) -> HttpResponse:
    """The form as a page of its own, and the target of a customer's own HTML."""
    return _form(request, slug, is_embedded=False)


@csrf_exempt  # as form_page
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def form_embed(request: HttpRequest, slug: str) -> HttpResponse:
    """The form for a frame: only the sites it allows may show it."""
    return _form(request, slug, is_embedded=True)


@csrf_exempt  # as form_page; the token in the address is what counts
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def form_confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Double opt-in. Looking changes nothing (mail scanners follow links); the button does."""
    form = form_behind(token)
    with translation.override(form.locale if form else None):
        try:
            if form is None:
                raise LinkExpired
            if request.method == "POST":
                confirm_inquiry(token)
                return render(request, "crm/public/thanks.html", {"form": form, "is_confirmed": True})
        except LinkExpired:
            return render(request, "crm/public/link_gone.html", {"form": form}, status=410)
        return render(request, "crm/public/confirm.html", {"form": form})


def _form(request: HttpRequest, slug: str, *, is_embedded: bool) -> HttpResponse:
    form = get_object_or_404(CaptureForm.objects.select_related("source"), slug=slug, is_active=True)
    with translation.override(form.locale):
        response = _answer(request, form, is_embedded=is_embedded)
    if is_embedded:
        response.xframe_options_exempt = True  # type: ignore[attr-defined]
        response._csp_replace = {"frame-ancestors": ["'self'", *form.allowed_origins]}  # type: ignore[attr-defined]
    return response


def _answer(request: HttpRequest, form: CaptureForm, *, is_embedded: bool) -> HttpResponse:
    if request.method != "POST":
        return _page(request, form, is_embedded=is_embedded)
    if not _may_post(request, form):
        return _plain(request, form, "crm/public/not_from_here.html", 403, is_embedded=is_embedded)
    try:
        count_submission(form, client_address(request))
    except RateLimited as refused:
        response = _plain(request, form, "crm/public/too_often.html", 429, is_embedded=is_embedded)
        response["Retry-After"] = str(refused.details["retry_after_s"])
        return response
    sent = _sent(request)
    if sent is None:
        return _plain(request, form, "crm/public/not_a_form.html", 415, is_embedded=is_embedded)
    submit_form(form, _submission(request, form, sent))
    target = sent.get(NEXT, "")
    if target and _origin(target) in form.allowed_origins:
        return HttpResponseRedirect(target, status=303)
    return _plain(request, form, "crm/public/thanks.html", 202, is_embedded=is_embedded)


def _page(request: HttpRequest, form: CaptureForm, *, is_embedded: bool) -> HttpResponse:
    context = {
        "form": form,
        "is_embedded": is_embedded,
        "fields": _fields(form),
        "shown_at": signing.TimestampSigner(salt=_SALT).sign(form.slug),
        "key": str(uuid4()),
        "utm": _utm(request.GET),
    }
    return render(request, "crm/public/form.html", context)


def _plain(
    request: HttpRequest, form: CaptureForm, template: str, status: int, *, is_embedded: bool
) -> HttpResponse:
    return render(request, template, {"form": form, "is_embedded": is_embedded}, status=status)


def _fields(form: CaptureForm) -> list[dict[str, Any]]:
    """What the template draws. One query, if own fields are asked for."""
    keys = [one["name"].removeprefix(CUSTOM) for one in form.fields if one["name"].startswith(CUSTOM)]
    own = {one.key: one for one in CustomField.objects.filter(target="lead", key__in=keys)} if keys else {}
    return [
        {
            "name": one["name"],
            "id": f"field-{number}",
            "label": one["label"],
            "is_required": one.get("is_required", False) or _is_needed(one["name"], own),
            "autocomplete": _FILLS.get(one["name"], "off"),
            "most": _LONG.get(one["name"], 200),
            **_kind(one["name"], own.get(one["name"].removeprefix(CUSTOM))),
        }
        for number, one in enumerate(form.fields)
    ]


def _is_needed(name: str, own: dict[str, CustomField]) -> bool:
    """As actions.capture.needed_of says."""
    field = own.get(name.removeprefix(CUSTOM)) if name.startswith(CUSTOM) else None
    return bool(field and field.is_required and field.is_active and field.type != FieldType.BOOLEAN)


def _kind(name: str, own: CustomField | None) -> dict[str, Any]:
    if name in _LONG:
        return {"kind": "area"}
    if own is None:
        return {"kind": "input", "type": _TYPES.get(name, "text")}
    if own.type == FieldType.CHOICE:
        return {"kind": "select", "options": own.options}
    if own.type == FieldType.BOOLEAN:
        return {"kind": "check"}
    types = {FieldType.NUMBER: "number", FieldType.DATE: "date"}
    return {"kind": "input", "type": types.get(FieldType(own.type), "text")}


def _sent(request: HttpRequest) -> dict[str, str] | None:
    """What was posted: fields of a form, or a JSON object of them. None for what is neither.

    Raises BadRequest for a body that is not what it says it is.
    """
    if request.content_type in _FORM_TYPES:
        return {name: str(value) for name, value in request.POST.items()}
    if request.content_type != "application/json":
        return None
    try:
        found = json.loads(request.body)
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON.") from None
    if not isinstance(found, dict):
        raise BadRequest("Send one JSON object, with the names of the form's fields.")
    return {
        _in_utf8(name): _in_utf8(_as_text(value))
        for name, value in found.items()
        if value is not None and value is not False
    }


def _as_text(value: Any) -> str:
    """A value of a JSON object as a form would have sent it."""
    if isinstance(value, str):
        return value
    return "on" if value is True else json.dumps(value, ensure_ascii=False)


def _in_utf8(text: str) -> str:
    """JSON may spell half of a character, which neither a table nor an address can hold."""
    return text.encode(errors="replace").decode()


def _submission(request: HttpRequest, form: CaptureForm, sent: dict[str, str]) -> Submission:
    key = sent.get(KEY, "")
    asked = [one["name"] for one in form.fields]
    return Submission(
        values={name: sent.get(name, "") for name in asked},
        unasked={name: text for name, text in sent.items() if name not in {*asked, *_OURS} and text},
        has_agreed=sent.get(CONSENT, "").strip().lower() in AGREED,
        signals=Signals(honeypot=bool(sent.get(HONEYPOT, "")), filled_in_s=_filled_in_s(sent, form)),
        address=client_address(request),
        page=request.headers.get("Referer", "").partition("?")[0],
        utm=_utm(sent),
        key=f"form:{key}" if _KEY.fullmatch(key) else "",
    )


def _filled_in_s(sent: dict[str, str], form: CaptureForm) -> float | None:
    """Seconds since our page was shown; None for a customer's own HTML, 0 for a forged time."""
    shown_at = sent.get(SHOWN_AT)
    if shown_at is None:
        return None
    signer = signing.TimestampSigner(salt=_SALT)
    try:
        if signer.unsign(shown_at) != form.slug:
            return 0
        written = signing.b62_decode(shown_at.split(":")[-2])
    except (signing.BadSignature, IndexError, ValueError):
        return 0
    return max(0.0, time.time() - written)


def _utm(given: Mapping[str, Any]) -> dict[str, str]:
    found = {name: given.get(name, "").replace("\0", "").strip()[:100] for name in UTM}
    return {name: value for name, value in found.items() if value}


def _may_post(request: HttpRequest, form: CaptureForm) -> bool:
    """Browsers name the site a POST comes from; whoever hides it is not let in."""
    origin = request.headers.get("Origin") or _origin(request.headers.get("Referer", ""))
    own = {settings.SITE_URL, f"{request.scheme}://{request.get_host()}"}
    return origin in own or origin in form.allowed_origins


def _origin(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else ""
