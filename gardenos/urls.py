"""Every address of GardenOS. /livez, /readyz and /metrics are answered before it, by gardenos/health.py."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

from crm.admin.base import keep_only_ours

keep_only_ours(admin.site)
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("ai_agents.api.urls")),
    path("api/v1/", include("crm.api.urls")),
    path("", include("ai_agents.web.urls")),
    path("", include("crm.web.urls")),
]
