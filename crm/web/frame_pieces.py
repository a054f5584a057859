"""Pieces of the frame that refresh themselves."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from crm.web.base import ai_of, piece, screen


@screen
@require_GET
def agents_box(request: HttpRequest) -> HttpResponse:
    """The agents at a glance."""
    return piece(request, "components/agents_box.html", {"ai": ai_of(request)})
