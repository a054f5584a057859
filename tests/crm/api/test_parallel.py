"""What happens when everybody does the same thing at once, over HTTP."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.db import connections

from crm.actions.tokens import create_token
from crm.models import FollowUp, FollowUpState, IdempotencyKey, Inquiry, Lead, Message, Role
from crm.permissions import SCOPES
from tests.factories import make_follow_up, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db(transaction=True)
AT_ONCE = 20  # connections; the database of the suite allows few more
Answer = tuple[int, dict[str, str], Any]
Send = Callable[..., list[Answer]]


class Handler(WSGIRequestHandler):
    """Says nothing."""

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def at_once(_only_the_api: None) -> Iterator[Send]:
    """Send the same request many times from many threads to a real server; gives the answers."""
    server = ThreadedWSGIServer(("127.0.0.1", 0), Handler, connections_override={})
    server.set_app(WSGIHandler())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def send(times: int, method: str, path: str, body: Any, *headers: dict[str, str]) -> list[Answer]:
        def one(number: int) -> Answer:
            http = HTTPConnection("127.0.0.1", server.server_port, timeout=60)
            extra = {"Content-Type": "application/json", **headers[number % len(headers)]}
            http.request(method, path, json.dumps(body), extra)
            response = http.getresponse()
            answer = response.status, dict(response.headers), json.loads(response.read())
            http.close()
            return answer

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(one, range(times)))

    yield send
    server.shutdown()
    thread.join()
    server.server_close()
    connections.close_all()


def bearer(user: Any, **more: str) -> dict[str, str]:
    _token, text = create_token(user, name="T", scopes=SCOPES)
    return {"Authorization": f"Bearer {text}", **more}


def test_of_100_equal_posts_with_one_key_one_makes_a_row_and_all_answers_agree(at_once: Send):
    headers = bearer(make_user(Role.ADMIN), **{"Idempotency-Key": "spring-1"})
    answers = at_once(100, "POST", "/api/v1/leads/", {"name": "Ada"}, headers)
    assert set(Counter(status for status, _headers, _body in answers)) <= {201, 409}
    made = [body for status, _headers, body in answers if status == 201]
    assert made
    assert all(body == made[0] for body in made)
    refused = {body["code"] for status, _headers, body in answers if status == 409}
    assert refused <= {"idempotency_in_flight"}
    assert (Lead.objects.count(), Inquiry.objects.count(), IdempotencyKey.objects.count()) == (1, 1, 1)
    (later,) = at_once(1, "POST", "/api/v1/leads/", {"name": "Ada"}, headers)
    assert (later[0], later[2], later[1]["Idempotency-Replayed"]) == (201, made[0], "true")


def test_of_100_inquiries_of_one_person_one_makes_the_lead(at_once: Send):
    body = {"name": "Ada", "email": "ada@example.com"}
    answers = at_once(100, "POST", "/api/v1/leads/", body, bearer(make_user(Role.ADMIN)))
    assert Counter(status for status, _headers, _body in answers) == {201: 1, 200: 99}
    assert (Lead.objects.count(), Inquiry.objects.count()) == (1, 100)


def test_of_50_changes_of_one_version_one_wins(at_once: Send):
    lead, headers = make_lead(), bearer(make_user(Role.ADMIN), **{"If-Match": '"1"'})
    answers = at_once(50, "PATCH", f"/api/v1/leads/{lead.public_id}/", {"company": "X"}, headers)
    assert Counter(status for status, _headers, _body in answers) == {200: 1, 412: 49}
    lead.refresh_from_db()
    assert lead.version == 2


def test_of_50_grabs_from_the_pool_one_wins(at_once: Send):
    team = make_team()
    lead = make_lead(team=team)
    people = [bearer(make_user(team=team)) for _person in range(5)]
    answers = at_once(50, "POST", f"/api/v1/leads/{lead.public_id}/assign/", {"owner": "me"}, *people)
    winners = {body["owner"]["id"] for status, _headers, body in answers if status == 200}
    assert len(winners) == 1
    assert {status for status, _headers, _body in answers} <= {200, 403, 404}
    lead.refresh_from_db()
    assert str(lead.owner.public_id) in winners
    assert lead.version == 2


def test_of_50_approvals_one_queues_one_mail(at_once: Send, settings: Any):
    settings.MAIL_CATCHER = True
    follow_up = make_follow_up(make_lead(email="customer@example.com"))
    headers = bearer(make_user(Role.ADMIN), **{"If-Match": '"1"'})
    answers = at_once(50, "POST", f"/api/v1/follow-ups/{follow_up.public_id}/approve/", {}, headers)
    assert Counter(status for status, _headers, _body in answers) == {200: 1, 412: 49}
    assert FollowUp.objects.get().state == FollowUpState.SCHEDULED
    assert Message.objects.count() == 1
