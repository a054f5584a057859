"""What is answered when a request ends in an error that nobody caught: handler500 of gardenos/urls.py."""

import logging
import sys

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.defaults import server_error

from crm.errors import RETRY_AFTER_S, is_outage

logger = logging.getLogger(__name__)


def unexpected(request: HttpRequest) -> HttpResponse:
    """503 with Retry-After while the database is away, whichever part of the request noticed; else 500.

    Called by Django while the error is being handled.
    """
    error = sys.exc_info()[1]
    if not is_outage(error):
        return server_error(request)
    logger.warning("the database is away (%s): %s", type(error).__name__, request.path)
    answer = HttpResponse(render_to_string("503.html", {"request": request}), status=503)
    answer["Retry-After"] = str(RETRY_AFTER_S)
    answer["Cache-Control"] = "no-store"
    answer._has_been_logged = True  # type: ignore[attr-defined]  # said above; a traceback a request says no more
    return answer
