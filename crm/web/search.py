"""The command palette: records by what is typed, and where to go."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from crm.actions.identity import fold
from crm.actions.search import SLIP, Hit, search_everything
from crm.permissions import Verb, may
from crm.web.base import AGENTS_PAGE, address, by, person, piece, screen

_MOST = 6


@screen
@require_GET
def search(request: HttpRequest) -> HttpResponse:
    """What fits the typed words: at most six of each kind of record, and the commands."""
    text = request.GET.get("q", "").replace("\0", "")[:100]
    words = fold(text).split()[:5]
    groups = [
        {
            "label": group.label,
            "kind": group.kind,
            "hits": [_shown(request, group.kind, h) for h in group.hits],
        }
        for group in search_everything(text, by=by(request), limit=_MOST)
    ]
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
    return piece(
        request, "crm/partials/palette_results.html", {"groups": groups, "commands": shown, "q": text}
    )


def _shown(request: HttpRequest, kind: str, hit: Hit) -> dict[str, Any]:
    """A hit as text. Leads have a page here; the others only the one in the admin, for who may open it."""
    record, url = hit.record, ""
    if kind == "lead":
        url = reverse("crm:lead", args=[record.public_id])
    elif person(request).is_staff:
        url = address(f"admin:crm_{kind}_change", record.pk)
    match kind:
        case "lead":
            more = [record.company, record.get_status_display()]
        case "contact":
            more = [record.title, str(record.account or "")]
        case "account":
            more = [record.domain, record.country]
        case _:
            more = [str(record.account or ""), record.stage.name]
    is_guess = hit.rank == SLIP
    return {
        "name": str(record),
        "more": " · ".join(filter(None, [*more, hit.reason if is_guess else ""])),
        "score": getattr(record, "score", None),
        "url": url,
    }
