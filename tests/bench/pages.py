"""Requests: the product's endpoints, with sign-in, rights and audit, beside a minimal endpoint without."""

import http.client
import itertools
import json
import random
from datetime import timedelta
from importlib import import_module

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.utils import timezone

from crm.actions.tokens import create_token
from crm.models import Lead, Role, User
from crm.permissions import SCOPES
from gardenos.running_alone import free_port
from tests.bench.harness import Row, Server, Side, compare, floor, product, serving, shared
from tests.bench.surroundings import cluster, floor_environment, prepare, prepare_floor

PARTS = ("abelan", "gatland", "ellinq", "mortol", "nordul", "bren", "calda", "hartem")  # of surnames
_number = itertools.count(int(timezone.now().timestamp() * 1000) % 10**9 * 1000)


def _admin() -> User:
    return User.objects.filter(role=Role.ADMIN).earliest("pk")


def token_headers() -> dict[str, str]:
    until = timezone.now() + timedelta(hours=3)
    _made, text = create_token(_admin(), name="bench", scopes=list(SCOPES), expires_at=until)
    return {"Authorization": f"Bearer {text}", "Content-Type": "application/json"}


def session_headers() -> dict[str, str]:
    """The cookie of a signed-in browser."""
    session, admin = import_module(settings.SESSION_ENGINE).SessionStore(), _admin()
    session[SESSION_KEY] = str(admin.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = admin.get_session_auth_hash()
    session.save()
    return {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session.session_key}"}


def product_server() -> Server:
    """The product on all leads, for every measurement that needs no server of its own."""
    prepare()
    port = free_port()
    command, environment = product(port)
    return shared("product", lambda: serving(command, port, cluster(), **environment))


def _floor_server() -> Server:
    prepare_floor()
    return shared("floor", lambda: serving(floor(), free_port(), cluster(), **floor_environment()))


def _both() -> tuple[Server, Server]:
    return product_server(), _floor_server()


def list_vs_floor() -> Row:
    """GET /api/v1/leads/, 50 rows, newest first."""
    ours, limit = _both()
    headers = token_headers()
    return compare(
        "list_vs_floor",
        Side(ours, lambda: ("GET", "/api/v1/leads/?limit=50", None, headers)),
        Side(limit, lambda: ("GET", "/leads", None, {})),
    )


def list_page_vs_template() -> Row:
    """The list page in HTML, 50 rows, beside a bare template of 50 rows."""
    ours, limit = _both()
    headers = session_headers()
    return compare(
        "list_page_vs_template",
        Side(ours, lambda: ("GET", "/leads/", None, headers)),
        Side(limit, lambda: ("GET", "/page", None, {})),
    )


def detail_vs_floor() -> Row:
    """GET /api/v1/leads/{id}/ of random leads."""
    ours, limit = _both()
    headers, some = token_headers(), list(Lead.objects.values_list("public_id", flat=True)[:500])
    return compare(
        "detail_vs_floor",
        Side(ours, lambda: ("GET", f"/api/v1/leads/{random.choice(some)}/", None, headers)),
        Side(limit, lambda: ("GET", f"/leads/{random.randrange(1, 500)}", None, {})),
    )


def dashboard_vs_detail() -> Row:
    """Counts from summaries, what is due and the hottest, beside GET /api/v1/leads/{id}/ of random leads."""
    server, headers, session = product_server(), token_headers(), session_headers()
    some = list(Lead.objects.values_list("public_id", flat=True)[:500])
    return compare(
        "dashboard_vs_detail",
        Side(server, lambda: ("GET", "/bench/dashboard", None, session)),
        Side(server, lambda: ("GET", f"/api/v1/leads/{random.choice(some)}/", None, headers)),
    )


def search_vs_floor() -> Row:
    """GET /api/v1/leads/?q= with parts of names."""
    ours, limit = _both()
    headers = token_headers()
    return compare(
        "search_vs_floor",
        Side(ours, lambda: ("GET", f"/api/v1/leads/?limit=50&q={random.choice(PARTS)}", None, headers)),
        Side(limit, lambda: ("GET", f"/search?q={random.choice(PARTS)}", None, {})),
    )


def _somebody() -> bytes:
    number = next(_number)
    return json.dumps(
        {
            "name": f"Nora Bench {number}",
            "company": f"Bench Gardens {number}",
            "email": f"nora{number}@new{number % 9973}.example",
            "phone": f"+4930{number % 10**8:08d}",
        }
    ).encode()


def create_vs_floor() -> Row:
    """POST /api/v1/leads/: identity, duplicates, timeline and event, beside one indexed INSERT."""
    ours, limit = _both()
    headers = token_headers()
    return compare(
        "create_vs_floor",
        Side(ours, lambda: ("POST", "/api/v1/leads/", _somebody(), headers)),
        Side(limit, lambda: ("POST", "/create", _somebody(), {})),
    )


def update_vs_floor() -> Row:
    """PATCH /api/v1/leads/{id}/ with If-Match, timeline, undo and event, beside one UPDATE."""
    ours, limit = _both()
    headers = token_headers()
    tags = {
        str(public_id): f'"{version}"'
        for public_id, version in Lead.objects.filter(status="new").values_list("public_id", "version")[:50]
    }
    turn = itertools.cycle(tags)
    asked = ""

    def ask() -> tuple[str, str, bytes, dict[str, str]]:
        nonlocal asked
        asked = next(turn)
        body = json.dumps({"title": f"Head {next(_number)}"}).encode()
        return "PATCH", f"/api/v1/leads/{asked}/", body, {**headers, "If-Match": tags[asked]}

    def heard(response: http.client.HTTPResponse, body: bytes) -> None:
        tags[asked] = response.headers["ETag"]

    def ask_floor() -> tuple[str, str, bytes, dict[str, str]]:
        body = json.dumps({"title": f"Head {next(_number)}"}).encode()
        return "POST", f"/update/{random.randrange(1, 50)}", body, {}

    return compare("update_vs_floor", Side(ours, ask, heard), Side(limit, ask_floor))


JOBS = (
    list_vs_floor,
    list_page_vs_template,
    detail_vs_floor,
    dashboard_vs_detail,
    search_vs_floor,
    create_vs_floor,
    update_vs_floor,
)
