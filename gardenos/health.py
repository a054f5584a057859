"""What probes and Prometheus ask. Answered before sessions, hosts and rights."""

import ipaddress
import logging
import secrets
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotFound, JsonResponse
from django_prometheus.exports import ExportToDjangoView

from ai_agents import metrics
from gardenos.build import build_sha
from gardenos.migration_state import unapplied_migrations

LIVEZ = "/livez"
READY_WITHIN_S = 1
logger = logging.getLogger(__name__)


class HealthMiddleware:
    """Serves /livez, /readyz and /metrics."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self._readiness = Readiness()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path == LIVEZ:
            return _plain(alive())
        if request.path == "/readyz":
            trouble = self._readiness.trouble()
            answer = {"status": "unavailable", "reason": trouble} if trouble else {"status": "ok"}
            return _plain(answer, status=503 if trouble else 200)
        if request.path == "/metrics":
            return _metrics(request) if _may_read_metrics(request) else HttpResponseNotFound()
        return self.get_response(request)


def alive() -> dict[str, str]:
    """What /livez says."""
    return {"status": "ok", "build": build_sha()}


class Readiness:
    """Asks the database in a thread of its own: a hung connection costs a probe 1 s, never a web thread."""

    def __init__(self) -> None:
        self._asker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="readyz")
        self._question: Future[str] | None = None

    def trouble(self) -> str:
        """Why this process cannot serve now; empty when it can."""
        question = self._question or self._asker.submit(_trouble)
        try:
            answer = question.result(timeout=READY_WITHIN_S)
        except TookTooLong:
            self._question = question  # the next probe waits for the same one instead of queueing another
            return f"the database did not answer within {READY_WITHIN_S} s"
        self._question = None
        return answer


def _trouble() -> str:
    try:
        missing = unapplied_migrations()
    except (DatabaseError, OSError) as error:
        logger.warning("readyz: the database does not answer: %s", error.__class__.__name__)
        return "the database does not answer"
    finally:
        connection.close()
    return f"migrations are missing: {', '.join(missing)}; run manage.py migrate" if missing else ""


def _plain(answer: dict[str, str], status: int = 200) -> HttpResponse:
    return JsonResponse(answer, status=status, headers={"Cache-Control": "no-store"})


def _metrics(request: HttpRequest) -> HttpResponse:
    """What the processes counted, then what the database tells; the first also when the second cannot be
    had.
    """
    page = ExportToDjangoView(request)
    try:
        page.content += metrics.exposition()
    except DatabaseError as error:
        logger.warning("metrics: the database does not answer: %s", error.__class__.__name__)
    return page


def _may_read_metrics(request: HttpRequest) -> bool:
    """With METRICS_TOKEN as bearer, or from this machine itself and not through a proxy on it."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if settings.METRICS_TOKEN and scheme.lower() == "bearer":
        return secrets.compare_digest(token.encode(), settings.METRICS_TOKEN.encode())
    is_forwarded = {"X-Forwarded-For", "Forwarded", "X-Real-Ip"} & set(request.headers)
    try:
        return not is_forwarded and ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
