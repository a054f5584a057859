"""What all screens share: the frame around them, the person's own settings, how they answer and say no."""

import ipaddress
import logging
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest, RequestDataTooBig
from django.db import DataError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.template import loader
from django.template.defaultfilters import filesizeformat
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from crm import feed, ports
from crm.errors import PermissionRefused
from crm.models import Actor, Theme, Undo, User
from crm.models.hidden import hide
from crm.permissions import Verb, may, sees_addresses
from crm.web import words
from crm.web.agenda import count_for_nav

logger = logging.getLogger(__name__)

THEME_COOKIE = "theme"
AGENTS_PAGE = "ai_agents:agents"
NAV_CAP = 1_000


class PersonalMiddleware:
    """Activates the signed-in person's time zone and language, and hides what they may not see."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user if _has_session(request) else None
        if user is None or not user.is_authenticated:
            return self.get_response(request)
        hide(not sees_addresses(cast(User, user)))
        with timezone.override(_zone(user.time_zone)), translation.override(user.locale):
            return self.get_response(request)


def _has_session(request: HttpRequest) -> bool:
    """Whether asking for the user may give one; without a session cookie it would only cost time."""
    return hasattr(request, "session") and bool(request.session.session_key)


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return zoneinfo.ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class NavItem:
    label: str
    icon: str
    url: str
    is_current: bool
    count: str = ""
    is_hot: bool = False
    in_tabbar: bool = True

    @property
    def counts(self) -> bool:
        """Whether a number stands beside it, sometimes none."""
        return self.icon in {"today", "people"}


@dataclass(frozen=True, slots=True)
class NavView:
    """A list with its filters in the address, one click away."""

    label: str
    url: str
    tone: str


class Frame:
    """What base.html shows around a page. Lazy: a fragment that has no frame asks nothing."""

    organisation = "GardenOS"

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self.user: User = request.user  # type: ignore[assignment]
        self.name = str(self.user)
        self.language = translation.get_language() or "en"
        self.has_shortcuts = self.user.has_shortcuts
        self.theme = "" if self.user.theme == Theme.SYSTEM else self.user.theme
        self.live_seq = getattr(request, "live_seq", "")

    @property
    def other_theme(self) -> str:
        return Theme.LIGHT if self.theme == Theme.DARK else Theme.DARK

    @cached_property
    def ai(self) -> ports.AIStatus:
        return ai_of(self._request)

    @cached_property
    def items(self) -> list[NavItem]:
        here = self._request.path
        user = self.user
        leads, due = nav_counts(self._request)
        entries = [
            (_("Today"), "today", "crm:today", words.capped(due, 99) if due else "", True),
            (_("Leads"), "people", "crm:lead_list", words.capped(leads, NAV_CAP) if leads else "", False),
        ]
        if may(user, Verb.IMPORT):
            entries.append((_("Import"), "upload", "crm:import_list", "", False))
        entries.append((_("Agents"), "bot", AGENTS_PAGE, "", False))
        items = []
        for label, icon, name, count, is_hot in entries:
            url = address(name)
            if not url:
                continue
            is_current = here == url if url == "/" else here.startswith(url)
            items.append(NavItem(label, icon, url, is_current, count, is_hot))
        if user.is_staff and settings.MAIL_CATCHER:
            url = reverse("crm:dev_mail_list")
            is_current = here.startswith(url)
            items.append(NavItem(_("Caught mail"), "mail", url, is_current, in_tabbar=False))
        if user.is_staff:
            items.append(NavItem(_("Set-up"), "gear", reverse("admin:index"), False, in_tabbar=False))
        return items

    @property
    def has_leads(self) -> bool:
        """Whether the person can see any lead at all."""
        return nav_counts(self._request)[0] > 0

    @cached_property
    def views(self) -> list[NavView]:
        url = reverse("crm:lead_list")
        return [
            NavView(_("Hot and open"), f"{url}?score=hot&status=open", "bad"),
            NavView(_("Mine, working"), f"{url}?owner=me&status=working", "warn"),
            NavView(_("New this week"), f"{url}?created=7d&sort=newest", "contacted"),
            NavView(_("Nobody’s yet"), f"{url}?owner=none&status=open", "mute"),
        ]


def address(name: str, *args: Any) -> str:
    """The address of a page, or "" when the app that has it is not there: crm works without agents."""
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return ""


def frame(request: HttpRequest) -> dict[str, Any]:
    """Context processor: the frame for signed-in people, the cookie's theme for everybody else."""
    user = getattr(request, "user", None) if _has_session(request) else None
    if user is not None and user.is_authenticated:
        return {"frame": Frame(request)}
    theme = request.COOKIES.get(THEME_COOKIE, "")
    return {"outside_theme": theme if theme in {Theme.LIGHT, Theme.DARK} else ""}


def nav_counts(request: HttpRequest) -> tuple[int, int]:
    """The sidebar's counts, asked once a request: leads up to NAV_CAP + 1, and rows of Today."""
    found = getattr(request, "nav_counts", None)
    if found is None:
        found = request.nav_counts = count_for_nav(person(request), cap=NAV_CAP)  # type: ignore[attr-defined]
    return found


def ai_of(request: HttpRequest) -> ports.AIStatus:
    """What the agents do now, asked once a request."""
    found = getattr(request, "ai", None)
    if found is None:
        found = request.ai = ports.ai_status()  # type: ignore[attr-defined]
    return found


def screen(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A page or a piece of one for signed-in people.

    The live cursor is read before the page's own queries: what happens in between is told twice, never lost.
    """

    @login_required
    @wraps(view)
    def with_cursor(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "GET" and not request.htmx:  # type: ignore[attr-defined]
            request.live_seq = feed.current_seq()  # type: ignore[attr-defined]
        try:
            response = view(request, *args, **kwargs)
        except DataError as error:  # what an action let through: refused like any other bad value
            logger.warning(
                "a page was asked to store an impossible value (%s)", type(error.__cause__).__name__
            )
            raise BadRequest("A value cannot be stored: too long, or out of range.") from None
        except PermissionRefused as refused:
            response = render(request, "403.html", {"reason": str(refused)}, status=403)
        except BadRequest as wrong:
            response = render(request, "400.html", {"reason": str(wrong)}, status=400)
        patch_vary_headers(response, ["HX-Request", "Cookie"])
        response.headers.setdefault("Cache-Control", "private, no-store")
        return response

    return with_cursor


def person(request: HttpRequest) -> User:
    """Who is signed in; every view behind `screen` has somebody."""
    return cast(User, request.user)


def by(request: HttpRequest) -> Actor:
    """The signed-in person as the actor of an action."""
    return Actor.of(person(request))


def say(request: HttpRequest, text: str, *, undo: Undo | None = None) -> None:
    """A toast, with an Undo button when there is something to take back."""
    messages.success(request, text, extra_tags=str(undo.public_id) if undo else "")


def say_no(request: HttpRequest, refusal: Exception | str) -> None:
    """A toast that says why not. For refusals that have no field to stand beside."""
    messages.error(request, str(refusal))


def piece(request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    """A fragment for htmx, followed by the toasts of this request."""
    html = render_to_string(template, context, request)
    return HttpResponse(html + toasts(request), status=status)


def toasts(request: HttpRequest) -> str:
    """The waiting messages as an out-of-band swap, or nothing."""
    if not messages.get_messages(request):
        return ""
    return render_to_string("components/toasts_oob.html", {}, request)


def changed(response: HttpResponse) -> HttpResponse:
    """Tell the page that something of it changed, so that its other pieces fetch themselves again."""
    response["HX-Trigger"] = "changed"
    return response


def back(request: HttpRequest, fallback: str) -> HttpResponseRedirect:
    """To the address in `next`, if it is one of ours, else to `fallback`."""
    target = request.POST.get("next", "")
    return redirect(target if is_own_address(request, target) else fallback)


def is_own_address(request: HttpRequest, target: str) -> bool:
    """Whether `target` is a path of this site (never another host, scheme or a control character)."""
    try:
        has_host = bool(urlsplit(target).netloc)
    except ValueError:  # "//[" begins an IPv6 address that never ends
        return False
    is_safe = url_has_allowed_host_and_scheme(target, {request.get_host()}, request.is_secure())
    return target.startswith("/") and not has_host and is_safe


def client_address(request: HttpRequest) -> str:
    """Whom to count: the address, of IPv6 the /64 that one household or server has. Proxies that are not
    trusted were left out of it by the server."""
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def read_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's answer to a request that it cannot read, by itself: 413 for a body above the limit."""
    if not isinstance(exception, RequestDataTooBig):
        return HttpResponse(loader.get_template("400.html").render(), status=400)
    most = filesizeformat(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    reason = _("A form may hold at most %s. Make it shorter and send it again.") % most
    return HttpResponse(loader.get_template("413.html").render({"reason": reason}), status=413)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The form waited too long or came from elsewhere."""
    return render(request, "403.html", {"request": request}, status=403)
