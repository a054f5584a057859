"""Idempotency-Key: sent twice, done once."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from crm.actions.housekeeping import delete_expired
from crm.api.idempotency import lock_number_of
from crm.models import ApiToken, IdempotencyKey, Role, Team, User
from tests.crm.api.conftest import Caller, assert_problem
from tests.factories import make_user

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.crm.api.probe_urls")]
URL = "/api/v1/teams/"


def post(caller: Caller, body: Any, key: str) -> Any:
    return caller.send("POST", URL, body, headers={"Idempotency-Key": key})


def test_the_same_request_gets_the_same_answer_and_one_row(api: Caller):
    first = post(api, {"name": "North"}, "k1")
    again = post(api, {"name": "North"}, "k1")
    assert (first.status_code, first.content, first["ETag"]) == (201, again.content, again["ETag"])
    assert again.status_code == 201
    assert again["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first
    assert Team.objects.count() == 1


def test_equal_json_is_the_same_body_whatever_its_spacing(api: Caller):
    post(api, b'{"name": "North", "extra": {"a": 1, "b": 2}}', "k1")
    assert post(api, b'{ "extra":{"b":2,"a":1},"name":"North"}', "k1").status_code == 201
    assert Team.objects.count() == 1


def test_another_body_with_the_same_key_is_422(api: Caller):
    post(api, {"name": "North"}, "k1")
    assert_problem(post(api, {"name": "South"}, "k1"), 422, "idempotency_key_reused")
    assert Team.objects.count() == 1


def test_a_refused_request_may_be_corrected_under_its_key(api: Caller):
    assert_problem(post(api, {"nome": "North"}, "k1"), 400, "invalid")
    assert_problem(post(api, {"name": "refused"}, "k1"), 409, "transition_refused")
    assert IdempotencyKey.objects.count() == 0
    assert post(api, {"name": "North"}, "k1").status_code == 201


def test_keys_of_different_people_tokens_and_addresses_are_apart(
    api: Caller, admin: User, token_caller: Callable[..., Caller]
):
    other = token_caller(make_user(Role.ADMIN))
    for index, caller in enumerate((api, token_caller(admin), other)):
        assert post(caller, {"name": f"Team {index}"}, "k1").status_code == 201
    assert Team.objects.count() == 3


@pytest.mark.parametrize("key", ["", "k" * 256, "two words", "schlüssel".encode().decode("latin-1"), "a\tb"])
def test_what_is_no_key_is_400(api: Caller, key: str):
    assert_problem(post(api, {"name": "North"}, key), 400, "parse_error")
    assert Team.objects.count() == 0
    assert post(api, {"name": "North"}, "k" * 255).status_code == 201


def test_after_48_hours_a_key_is_free_again(api: Caller):
    post(api, {"name": "North"}, "k1")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=47))
    delete_expired(timezone.now())
    assert_problem(post(api, {"name": "South"}, "k1"), 422, "idempotency_key_reused")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=49))
    assert post(api, {"name": "South"}, "k1").status_code == 201
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=49))
    delete_expired(timezone.now())
    assert IdempotencyKey.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_while_the_first_request_runs_the_second_is_told_so(admin: User, token_caller: Callable[..., Caller]):
    api = token_caller(admin)
    row = {"user": admin, "token": ApiToken.objects.get(), "route": URL, "key": "k1"}
    first = connections.create_connection("default")
    try:
        with first.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [lock_number_of(row)])
            assert_problem(post(api, {"name": "North"}, "k1"), 409, "idempotency_in_flight")
            assert post(api, {"name": "South"}, "k2").status_code == 201
            cursor.execute("ROLLBACK")
    finally:
        first.close()
    assert post(api, {"name": "North"}, "k1").status_code == 201
