"""Every address of GardenOS. /livez, /readyz and /metrics are answered before it, by gardenos/health.py."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import include, path

from crm.admin.base import keep_only_ours

keep_only_ours(admin.site)
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]


def _not_here(request: HttpRequest, rest: str = "") -> HttpResponse:
    """People come by invitation, and an admin changes their address: by actions, with an entry in the log."""
    raise Http404


def _icon(request: HttpRequest) -> HttpResponse:
    """What browsers ask for beside a page that names no icon, such as a file or a JSON answer."""
    return redirect(static("img/mark.svg"))


handler400 = "crm.web.base.bad_request"

handler500 = "gardenos.outage.unexpected"
urlpatterns = [
    path("favicon.ico", _icon),
    path("accounts/signup/", _not_here),
    path("accounts/email/", _not_here),
    path("accounts/confirm-email/", _not_here),
    path("accounts/confirm-email/<path:rest>", _not_here),
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("ai_agents.api.urls")),
    path("api/v1/", include("crm.api.urls")),
    path("", include("ai_agents.web.urls")),
    path("", include("crm.web.urls")),
]
