"""The page behind an invitation's link. Works without JavaScript; the token leaves the address at once."""

from django import forms
from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from crm.actions.invitations import accept_invitation, find_invitation
from crm.actions.rates import refuse_above
from crm.errors import InvalidValue, LinkExpired, RateLimited
from crm.models import Invitation
from crm.web.base import client_address

SESSION_KEY = "invitation"
TRIES_A_MINUTE = 20  # from one address


class JoinForm(forms.Form):
    """Name and password of who was invited."""

    name = forms.CharField(label=gettext_lazy("Your name"), max_length=120)
    password = forms.CharField(label=gettext_lazy("Password"), strip=False, max_length=4_096)
    password_again = forms.CharField(label=gettext_lazy("Password again"), strip=False, max_length=4_096)

    def clean_password_again(self) -> str:
        if self.cleaned_data.get("password") != self.cleaned_data["password_again"]:
            raise forms.ValidationError(_("The two passwords differ."))
        return self.cleaned_data["password_again"]


@require_safe
@never_cache
def invitation_link(request: HttpRequest, token: str) -> HttpResponse:
    """Take the token into the session, so that no history, referrer or log of a proxy keeps it in use."""
    request.session[SESSION_KEY] = token[:200]
    return redirect("crm:invitation")


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@never_cache
def invitation(request: HttpRequest) -> HttpResponse:
    """Set name and password. Wrong, used, revoked and expired links get the same answer."""
    token = str(request.session.get(SESSION_KEY, ""))
    try:
        refuse_above(f"join:{client_address(request)}", limit=TRIES_A_MINUTE)
    except RateLimited as refused:
        return render(request, "account/invitation.html", {"why_not": str(refused)}, status=429)
    found = find_invitation(token)
    if found is None:
        return _gone(request)
    form = JoinForm(request.POST if request.method == "POST" else None, initial={"name": found.name})
    if request.method == "POST" and form.is_valid():
        try:
            user = accept_invitation(
                token, name=form.cleaned_data["name"], password=form.cleaned_data["password"]
            )
        except LinkExpired:
            return _gone(request)
        except InvalidValue as wrong:
            form.add_error(wrong.field, str(wrong))
        else:
            request.session.flush()
            login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
            return redirect("crm:today")
    return _page(request, form, found)


def _page(request: HttpRequest, form: JoinForm, found: Invitation) -> HttpResponse:
    return render(request, "account/invitation.html", {"form": form, "email": found.email})


def _gone(request: HttpRequest) -> HttpResponse:
    return render(request, "account/invitation.html", {}, status=410)
