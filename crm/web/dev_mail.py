"""Where mail goes while no mail server is set up: a page to read it on. Embedded set-up only, staff only."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from crm.mail.catcher import caught_mail, caught_mails
from crm.web.base import screen

SHOWN = 100


@screen
@require_GET
def dev_mail_list(request: HttpRequest) -> HttpResponse:
    """The newest caught mails."""
    _refuse_unless_caught_here(request)
    return render(request, "crm/dev_mail_list.html", {"mails": caught_mails(SHOWN), "limit": SHOWN})


@screen
@require_GET
def dev_mail(request: HttpRequest, name: str) -> HttpResponse:
    """One caught mail, as plain text whatever it holds."""
    _refuse_unless_caught_here(request)
    mail = caught_mail(name)
    if mail is None:
        raise Http404
    return render(request, "crm/dev_mail.html", {"mail": mail})


def _refuse_unless_caught_here(request: HttpRequest) -> None:
    if not (settings.MAIL_CATCHER and request.user.is_staff):
        raise Http404
