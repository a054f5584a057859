"""The addresses that probes and Prometheus ask."""

import json
import time

import pytest
from django.db import OperationalError, connection
from django.db.migrations.loader import MigrationLoader
from django.http import HttpResponse
from django.test import RequestFactory

from gardenos import health
from gardenos.health import HealthMiddleware


def ask(path: str, **meta: str) -> HttpResponse:
    middleware = HealthMiddleware(lambda request: HttpResponse("the site"))
    return middleware(RequestFactory().get(path, **meta))


def test_livez_names_the_build_and_asks_no_database():
    answer = ask("/livez")  # this test has no access to the database
    assert answer.status_code == 200
    assert json.loads(answer.content)["build"] not in ("", None)


def test_probes_do_not_care_about_the_host_name():
    assert ask("/livez", HTTP_HOST="10.0.0.7:8000").status_code == 200


@pytest.mark.django_db
def test_readyz_is_200_with_the_database_and_all_migrations(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connection, "close", lambda: None)
    assert health._trouble() == ""


@pytest.mark.django_db
def test_readyz_names_a_missing_migration(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connection, "close", lambda: None)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'crm'")
    newest = MigrationLoader(connection).graph.leaf_nodes("crm")[0][1]
    assert f"migrations are missing: crm.{newest}; run manage.py migrate" in health._trouble()


def test_readyz_is_503_without_the_database(monkeypatch: pytest.MonkeyPatch):
    def refuse() -> list[str]:
        raise OperationalError("connection to server at 10.0.0.1 failed")

    monkeypatch.setattr(health, "unapplied_migrations", refuse)
    monkeypatch.setattr(health.connection, "close", lambda: None)
    answer = ask("/readyz")
    assert answer.status_code == 503
    assert json.loads(answer.content)["reason"] == "the database does not answer"


def test_a_hung_database_costs_a_probe_one_second(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "_trouble", lambda: time.sleep(2.5) or "")
    readiness = health.Readiness()
    before = time.monotonic()
    assert "did not answer within 1 s" in readiness.trouble()
    assert "did not answer within 1 s" in readiness.trouble()
    assert time.monotonic() - before < 2.4
    assert readiness.trouble() == ""  # the same question, answered at last


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("token", "meta", "expected"),
    [
        ("", {}, 200),
        ("", {"REMOTE_ADDR": "::1"}, 200),
        ("", {"REMOTE_ADDR": "192.0.2.1"}, 404),
        ("", {"REMOTE_ADDR": ""}, 404),
        ("", {"HTTP_X_FORWARDED_FOR": "192.0.2.1"}, 404),
        ("", {"REMOTE_ADDR": "192.0.2.1", "HTTP_AUTHORIZATION": "Bearer "}, 404),
        ("right", {"REMOTE_ADDR": "192.0.2.1", "HTTP_AUTHORIZATION": "Bearer right"}, 200),
        ("right", {"REMOTE_ADDR": "192.0.2.1", "HTTP_AUTHORIZATION": "Bearer wrong"}, 404),
        ("right", {"REMOTE_ADDR": "192.0.2.1"}, 404),
        ("right", {}, 200),
    ],
)
def test_metrics_are_for_this_machine_or_the_token(settings, token: str, meta: dict[str, str], expected: int):
    settings.METRICS_TOKEN = token
    assert ask("/metrics", **meta).status_code == expected


def test_everything_else_goes_to_the_site():
    for path in ("/", "/livez/", "/readyzz", "/api/livez"):
        assert ask(path).content == b"the site"


def test_an_answer_is_never_cached():
    assert ask("/livez")["Cache-Control"] == "no-store"
