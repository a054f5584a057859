"""Files beside records, as downloads. Never inline: what somebody sent in does not run in our pages."""

from uuid import UUID

from django.http import FileResponse, Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from crm.actions.attachments import path_of
from crm.models import Attachment
from crm.permissions import require_addresses
from crm.web.base import person, screen


@screen
@require_GET
def attachment(request: HttpRequest, public_id: UUID) -> HttpResponseBase:
    """The bytes, under the name that they came with."""
    require_addresses(person(request))  # nobody knows what is in a file
    found = get_object_or_404(Attachment.objects.visible_to(person(request)), public_id=public_id)
    try:
        file = path_of(found.stored_as).open("rb")
    except FileNotFoundError:
        raise Http404 from None
    response = FileResponse(
        file, as_attachment=True, filename=found.file_name, content_type=found.content_type
    )
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["Cache-Control"] = "private, no-store"
    return response
