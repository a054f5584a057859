"""/api/v1/imports/: upload, read the check, run; what is refused and how."""

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings

from crm.actions.imports import advance_import
from crm.models import ImportJob, Lead, Role
from tests.crm.api.conftest import Caller, assert_problem, token_caller  # noqa: F401
from tests.crm.imports.files import csv_of, people
from tests.factories import make_team, make_user

pytestmark = pytest.mark.django_db
ROOT = "/api/v1/imports/"


@pytest.fixture
def caller(token_caller: Callable[..., Caller]) -> Caller:  # noqa: F811
    return token_caller(make_user(Role.ADMIN, team=make_team()))


def upload(caller: Caller, content: bytes, **more: Any) -> Any:
    headers = more.pop("headers", {})
    return caller.post(ROOT, {"file": SimpleUploadedFile("leads.csv", content), **more}, headers=headers)


def work_on(document: dict[str, Any]) -> None:
    job = ImportJob.objects.get(public_id=document["id"])
    while advance_import(job.pk, seconds=60):
        pass


def test_a_file_is_uploaded_checked_and_run(caller: Caller):
    response = upload(caller, people(12), source="Autumn fair")
    assert response.status_code == 202
    assert response["Location"].endswith(f"{ROOT}{response.json()['id']}/")
    work_on(response.json())
    checked = caller.get(response["Location"]).json()
    assert (checked["state"], checked["rows_created"], checked["source"]) == ("checked", 12, "Autumn fair")
    assert Lead.objects.count() == 0
    assert caller.send("POST", f"{ROOT}{checked['id']}/run/", {"analyse": "none"}).status_code == 202
    work_on(checked)
    done = caller.get(response["Location"]).json()
    assert (done["state"], done["work"], done["rows_done"]) == ("done", "done", 12)
    rows = caller.get(f"{response['Location']}rows/?limit=5").json()
    assert [row["verdict"] for row in rows["results"]] == ["create"] * 5
    assert str(Lead.objects.get(name="Person 1").public_id) == rows["results"][0]["lead"]
    assert caller.get(rows["next"]).json()["results"][0]["row"] == 6


def test_running_before_the_check_is_over_is_refused(caller: Caller):
    document = upload(caller, people(3)).json()
    assert_problem(caller.send("POST", f"{ROOT}{document['id']}/run/", {}), 409, "transition_refused")


def test_the_same_key_uploads_once(caller: Caller):
    first = upload(caller, people(3), headers={"Idempotency-Key": "k1"})
    again = upload(caller, people(3), headers={"Idempotency-Key": "k1"})
    other = upload(caller, people(4), headers={"Idempotency-Key": "k1"})
    assert again.json() == first.json()
    assert ImportJob.objects.count() == 1
    assert_problem(other, 422, "idempotency_key_reused")


def test_columns_may_be_named_with_the_upload_or_later(caller: Caller):
    content = csv_of("Who,Reach,Won?", "Ada,ada@example.com,yes", "Ben,ben@example.com,no")
    document = upload(caller, content, mapping='{"Who": "name"}', outcome="Won?").json()
    fields = {column["name"]: column["field"] for column in document["columns"]}
    assert fields == {"Who": "name", "Reach": "email", "Won?": "outcome"}
    path = f"{ROOT}{document['id']}/"
    assert_problem(caller.send("PATCH", path, {"policy": "skip"}), 428, "precondition_required")
    etag = caller.get(path)["ETag"]
    response = caller.send("PATCH", path, {"mapping": {"Won?": ""}}, headers={"If-Match": etag})
    assert response.status_code == 202
    stale = caller.send("PATCH", path, {"policy": "skip"}, headers={"If-Match": etag})
    assert_problem(stale, 412, "version_conflict")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"mapping": "{"}, "invalid"),
        ({"mapping": '{"Nobody": "name"}'}, "import_refused"),
        ({"mapping": '{"Name": "shoe_size"}'}, "import_refused"),
        ({"policy": "maybe"}, "invalid"),
        ({"nonsense": "1"}, "invalid"),
    ],
)
def test_a_wrong_mapping_is_a_400_that_names_it_and_leaves_nothing(caller: Caller, more: Any, code: str):
    assert_problem(upload(caller, people(2), **more), 400, code)
    assert not ImportJob.objects.exists()


def test_what_is_no_csv_file_is_a_400_with_a_reason(caller: Caller):
    document = assert_problem(upload(caller, b"PK\x03\x04" + b"\0" * 500), 400, "import_refused")
    assert "Excel" in document["detail"]
    assert_problem(upload(caller, b""), 400, "import_refused")


@override_settings(GARDENOS_IMPORT_MAX_MB=1)
def test_too_large_a_file_is_a_413(caller: Caller):
    assert_problem(upload(caller, b"Name\n" + b"x" * 1_200_000), 413, "body_too_large")


def test_refused_rows_can_be_downloaded_and_no_cell_is_a_formula(caller: Caller):
    content = csv_of("Name,E-mail", '"=HYPERLINK(""http://evil"")",nonsense', "Ben,ben@example.com")
    document = upload(caller, content).json()
    work_on(document)
    response = caller.get(f"{ROOT}{document['id']}/errors/")
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"].startswith("attachment")
    lines = list(csv.reader(io.StringIO(b"".join(response.streaming_content).decode())))
    assert lines[0] == ["Line", "Column", "Problem", "Name", "E-mail"]
    assert lines[1][:2] == ["2", "E-mail"]
    assert lines[1][3] == '\'=HYPERLINK("http://evil")'
    assert len(lines) == 2


def test_who_gets_the_leads_is_said_with_the_run(caller: Caller):
    document = upload(caller, people(2)).json()
    work_on(document)
    url = f"/api/v1/imports/{document['id']}/"
    for wrong in ("everybody", "6a8f0000-0000-4000-8000-000000000000"):
        response = caller.send("POST", f"{url}run/", {"assign": wrong})
        assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "assign")
    response = caller.send("POST", f"{url}run/", {"assign": "me", "analyse": "none"})
    assert (response.status_code, response.json()["assign"]) == (202, "user")
    work_on(document)
    assert Lead.objects.exclude(owner=None).count() == 2
    assert caller.get(url).json()["assign_to"]["name"]


def test_a_waiting_import_can_be_thrown_away(caller: Caller):
    document = upload(caller, people(2)).json()
    assert caller.send("POST", f"{ROOT}{document['id']}/cancel/", {}).status_code == 204
    assert caller.get(f"{ROOT}{document['id']}/").status_code == 404


def test_a_token_needs_the_scope(token_caller: Callable[..., Caller]):  # noqa: F811
    narrow = token_caller(make_user(Role.ADMIN), scopes=["read", "write"])
    assert_problem(upload(narrow, people(1)), 403, "scope_missing")
