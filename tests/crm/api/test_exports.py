"""/api/v1/exports/: ask, wait, fetch; who may, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from crm.actions.exports import advance_export
from crm.models import Job, Role, SavedView
from tests.crm.api.conftest import Caller, assert_problem, fields
from tests.factories import make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db
ROOT = "/api/v1/exports/"


def work() -> None:
    for job in Job.objects.filter(kind="export"):
        while advance_export(job.pk, seconds=5):
            pass


def test_an_export_is_asked_for_made_and_fetched(api: Caller):
    make_lead(name="=1+1", status="working")
    make_lead(name="Bob", status="new")
    asked = api.send("POST", ROOT, {"filters": {"status": "working"}, "columns": ["name"]})
    assert asked.status_code == 202
    place = asked["Location"]
    assert place.endswith(f"{ROOT}{asked.json()['id']}/")
    assert (asked.json()["state"], asked.json()["file"]) == ("queued", None)
    assert_problem(api.get(f"{place}file/"), 409, "transition_refused")
    work()
    done = api.get(place).json()
    assert (done["state"], done["done"], done["total"], done["rows"]) == ("done", 1, 1, 1)
    file = api.get(done["file"])
    text = b"".join(file.streaming_content).decode("utf-8-sig")
    assert text.splitlines()[0] == '"gardenos_id","name","export_row"'
    assert ',"\'=1+1",' in text
    assert file["Content-Disposition"] == f'attachment; filename="{done["file_name"]}"'
    assert file["Content-Type"] == "text/csv; charset=utf-8"
    assert (file["X-Content-Type-Options"], file["Cache-Control"]) == ("nosniff", "private, no-store")
    assert [one["id"] for one in api.get(ROOT).json()["results"]] == [done["id"]]


def test_a_view_is_exported_and_a_strangers_view_does_not_exist(api: Caller, admin: Any):
    make_lead(name="Ada", status="working")
    make_lead(name="Bob", status="new")
    mine = SavedView.objects.create(
        owner=admin, name="W", filters={"status": "working"}, columns=["name"], sort="newest"
    )
    theirs = SavedView.objects.create(owner=make_user(), name="Theirs", filters={})
    assert fields(
        assert_problem(api.send("POST", ROOT, {"view": str(theirs.public_id)}), 400, "invalid")
    ) == ["view"]
    both = {"view": str(mine.public_id), "sort": "oldest"}
    assert fields(assert_problem(api.send("POST", ROOT, both), 400, "invalid")) == ["view"]
    assert api.send("POST", ROOT, {"view": str(mine.public_id), "format": "xlsx"}).status_code == 202
    work()
    assert api.get(ROOT).json()["results"][0]["rows"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"format": "ods"}, "format"),
        ({"target": "password"}, "target"),
        ({"columns": ["password"]}, "columns"),
        ({"columns": "name"}, "columns"),
        ({"filters": {"colour": "red"}}, "filters.colour"),
        ({"filters": {"status": 7}}, "filters.status"),
        ({"filters": []}, "filters"),
        ({"sort": "name; DROP TABLE"}, "sort"),
        ({"view": "x"}, "view"),
        ({"rows": 5}, "rows"),
        ({"filters": {"q": "a\0b"}}, "filters.q"),
    ],
)
def test_bad_bodies_are_refused_by_field(api: Caller, body: dict[str, Any], field: str):
    problem = api.send("POST", ROOT, body)
    assert problem.status_code == 400, problem.content
    assert field.partition(".")[0] in fields(problem.json())[0]
    assert not Job.objects.exists()
    assert api.send("POST", ROOT, {}).status_code == 202  # the control


def test_the_scope_and_the_role_are_needed(token_caller: Callable[..., Caller]):
    admin = make_admin()
    without = token_caller(admin, ["read", "write"])
    assert_problem(without.send("POST", ROOT, {}), 403, "scope_missing")
    reader = token_caller(make_user(Role.READ_ONLY, team=make_team()))
    assert_problem(reader.send("POST", ROOT, {}), 403, "permission_refused")
    assert token_caller(admin, ["export"]).send("POST", ROOT, {}).status_code == 202


def test_a_manager_who_asks_too_often_is_told_when(token_caller: Callable[..., Caller]):
    manager = token_caller(make_user(Role.MANAGER, team=make_team()))
    for _time in range(5):
        assert manager.send("POST", ROOT, {}).status_code == 202
    refused = manager.send("POST", ROOT, {})
    assert_problem(refused, 429, "rate_limited")
    assert Job.objects.count() == 5


def test_an_export_can_be_stopped(api: Caller):
    place = api.send("POST", ROOT, {})["Location"]
    assert api.send("POST", f"{place}cancel/", {}).json()["state"] == "cancelled"
    assert_problem(api.send("POST", f"{place}cancel/", {}), 409, "transition_refused")
    assert_problem(api.get(f"{place}file/"), 410, "link_expired")
