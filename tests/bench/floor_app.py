# ruff: noqa: E402  Django is configured before it is used
"""The floor: how little a Django endpoint can cost. No sign-in, no rights, no audit, one statement a request.

Reads and writes `bench.lead` (26 columns, 6 indexes) which tests/bench/surroundings.py fills.
"""

import json
import os

import django
import orjson
from django.conf import settings

ADDRESS = json.loads(os.environ.get("BENCH_FLOOR_DATABASE", "{}"))
settings.configure(
    DEBUG=False,
    SECRET_KEY="x" * 50,
    ROOT_URLCONF="tests.bench.floor_app",
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": 600, **ADDRESS}},
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [os.path.join(os.path.dirname(__file__), "templates")],
        }
    ],
)
django.setup()

from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

LIST = (
    "id, public_id, first_name, last_name, email, phone, company, status, source, rating, score, owner_id, "
    "value, currency, city, country, next_follow_up, created_at"
)
NEWEST = f"SELECT {LIST} FROM bench.lead ORDER BY created_at DESC, id DESC LIMIT 50"
SEARCH = (
    f"SELECT {LIST} FROM (SELECT * FROM bench.lead WHERE search LIKE %s LIMIT 2000) found "
    "ORDER BY created_at DESC, id DESC LIMIT 50"
)


def _rows(statement: str, *values: object) -> list[dict[str, object]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _answer(document: object) -> HttpResponse:
    return HttpResponse(orjson.dumps(document, default=str), content_type="application/json")


def livez(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def leads(request: HttpRequest) -> HttpResponse:
    return _answer({"results": _rows(NEWEST)})


def page(request: HttpRequest) -> HttpResponse:
    return render(request, "floor_list.html", {"leads": _rows(NEWEST)})


def lead(request: HttpRequest, number: int) -> HttpResponse:
    return _answer(_rows("SELECT * FROM bench.lead WHERE id = %s", number)[0])


def search(request: HttpRequest) -> HttpResponse:
    return _answer({"results": _rows(SEARCH, f"%{request.GET['q']}%")})


def create(request: HttpRequest) -> HttpResponse:
    given = orjson.loads(request.body)
    made = _rows(
        "INSERT INTO bench.lead (first_name, last_name, email, phone, company, status, source, owner_id) "
        "VALUES (%s, %s, %s, %s, %s, 'new', 'api', 1) RETURNING id",
        *("x", given["name"], given["email"], given["phone"], given["company"]),
    )
    return _answer(made[0])


def update(request: HttpRequest, number: int) -> HttpResponse:
    given = orjson.loads(request.body)
    statement = "UPDATE bench.lead SET job_title = %s, updated_at = now() WHERE id = %s RETURNING id"
    return _answer(_rows(statement, given["title"], number)[0])


urlpatterns = [
    path("livez", livez),
    path("leads", leads),
    path("page", page),
    path("leads/<int:number>", lead),
    path("search", search),
    path("create", create),
    path("update/<int:number>", update),
]
application = get_wsgi_application()
