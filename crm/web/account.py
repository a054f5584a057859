"""What people set for themselves: theme, time zone, shortcuts, signature."""

import zoneinfo
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from crm.actions.users import update_own_profile
from crm.models import Theme, User
from crm.web.base import THEME_COOKIE, back, by, say, screen

_A_YEAR_S = 365 * 86_400
_REGIONS = frozenset(
    (
        "Africa",
        "America",
        "Antarctica",
        "Arctic",
        "Asia",
        "Atlantic",
        "Australia",
        "Europe",
        "Indian",
        "Pacific",
    )
)


@screen
@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Switch the theme: kept with the person, and in a cookie for the sign-in page."""
    chosen = request.POST.get("theme", "")
    if chosen not in Theme.values:
        raise Http404
    update_own_profile(by=by(request), theme=chosen)
    response = HttpResponse(status=204) if request.htmx else back(request, "/")  # type: ignore[attr-defined]
    response.set_cookie(
        THEME_COOKIE, chosen, max_age=_A_YEAR_S, samesite="Lax", secure=request.is_secure(), httponly=True
    )
    return response


def _zones(present: str) -> list[str]:
    """Zones by place, UTC and the present one: no abbreviations, no file of the machine ("localtime")."""
    places = {zone for zone in zoneinfo.available_timezones() if zone.split("/")[0] in _REGIONS}
    return sorted(places | {"UTC", present})


class ProfileForm(forms.ModelForm):
    """The fields a person may change of themselves."""

    time_zone = forms.ChoiceField(label=gettext_lazy("Time zone"))

    class Meta:
        model = User
        fields = ("name", "time_zone", "theme", "has_shortcuts", "signature")
        widgets = {"signature": forms.Textarea(attrs={"rows": 4})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["time_zone"].choices = [(zone, zone) for zone in _zones(self.instance.time_zone)]  # type: ignore[attr-defined]
        for name, one in self.fields.items():
            one.widget.attrs["class"] = "check" if name == "has_shortcuts" else "input"


@screen
@require_http_methods(["GET", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """The person's own page."""
    form = ProfileForm(
        request.POST if request.method == "POST" else None,
        instance=User.objects.get(pk=request.user.pk),  # type: ignore[misc]
    )
    if request.method == "POST" and form.is_valid():
        update_own_profile(by=by(request), **form.cleaned_data)
        say(request, _("Profile saved"))
        return redirect("crm:profile")
    return render(request, "crm/profile.html", {"form": form})
