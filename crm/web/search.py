"""The command palette: leads by name, and where to go."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from crm.actions.identity import fold
from crm.models import Lead
from crm.permissions import Verb, may
from crm.web.base import AGENTS_PAGE, address, person, piece, screen

_MOST = 6


@screen
@require_GET
def search(request: HttpRequest) -> HttpResponse:
    """What fits the typed words: at most six leads, and the commands."""
    text = request.GET.get("q", "").replace("\0", "")[:100]
    words = fold(text).split()[:5]
    leads: list[Lead] = []
    if words:
        found = Lead.objects.visible_to(person(request))
        for word in words:
            found = found.filter(search_text__contains=word)
        leads = list(found.hottest_first().only("public_id", "name", "company", "status", "score")[:_MOST])
    commands = [
        (_("Today"), "today", reverse("crm:today"), "G T"),
        (_("Leads"), "people", reverse("crm:lead_list"), "G L"),
        (_("Agents"), "bot", address(AGENTS_PAGE), "G A"),
        (_("Your profile"), "gear", reverse("crm:profile"), ""),
    ]
    if may(person(request), Verb.CREATE):
        commands.insert(2, (_("New lead"), "plus", reverse("crm:lead_new"), "C"))
    if may(person(request), Verb.IMPORT):
        commands.insert(2, (_("Import leads"), "upload", reverse("crm:import_list"), "G I"))
    shown = [
        {"label": label, "icon": icon, "url": url, "keys": keys.split()}
        for label, icon, url, keys in commands
        if url and (not words or all(word in fold(label) for word in words))
    ]
    return piece(request, "crm/partials/palette_results.html", {"leads": leads, "commands": shown, "q": text})
