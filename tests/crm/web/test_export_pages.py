"""The list of leads as a file: asked for, watched, fetched; all of it works without JavaScript."""

import pytest

from crm.actions.exports import advance_export
from crm.models import Job, JobState, Role
from tests.crm.web.pages import HTMX, signed_in
from tests.factories import make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


def test_the_list_on_the_screen_becomes_a_file():
    client = signed_in(make_admin())
    make_lead(name="Ada", status="working")
    make_lead(name="Bob", status="new")
    page = client.get("/leads/?status=working").content.decode()
    assert 'action="/exports/?status=working"' in page
    answer = client.post("/exports/?status=working&sort=oldest", {"format": "csv"})
    job = Job.objects.get(kind="export")
    assert answer.headers["Location"] == f"/exports/{job.public_id}/"
    assert job.cursor["asked"]["sort"] == "oldest"
    page = client.get(f"/exports/{job.public_id}/").content.decode()
    assert f'data-live="job:{job.public_id}"' in page
    assert "Look again" in page
    while advance_export(job.pk, seconds=5):
        pass
    body = client.get(f"/exports/{job.public_id}/body/", headers=HTMX).content.decode()
    assert f'href="/exports/{job.public_id}/file/"' in body
    assert "data-live=" not in body
    file = client.get(f"/exports/{job.public_id}/file/")
    text = b"".join(file.streaming_content).decode("utf-8-sig")
    assert '"Ada"' in text
    assert '"Bob"' not in text
    assert file.headers["Content-Disposition"].startswith('attachment; filename="leads-')
    assert file.headers["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in file.headers["Cache-Control"]
    assert "leads-" in client.get("/exports/").content.decode()


@pytest.mark.parametrize("query", ["?colour=red", "?status=sold", "?sort=password", "?owner=x", "?q=%00"])
def test_a_bad_list_is_refused_with_a_sentence(query: str):
    client = signed_in(make_admin())
    answer = client.post(f"/exports/{query}", {"format": "csv"})
    assert answer.status_code == 422
    assert 'role="alert"' in answer.content.decode()
    assert client.post("/exports/", {"format": "ods"}).status_code == 422
    assert not Job.objects.exists()
    assert client.post("/exports/", {"format": "csv"}).status_code == 302


def test_only_who_asked_stops_it_or_fetches_it():
    admin, rep = signed_in(make_admin()), signed_in(make_user(team=make_team()))
    rep.post("/exports/", {"format": "csv"})
    job = Job.objects.get(kind="export")
    for method, place in (("get", ""), ("get", "body/"), ("get", "file/"), ("post", "cancel/")):
        assert getattr(admin, method)(f"/exports/{job.public_id}/{place}").status_code == 404
    assert rep.get(f"/exports/{job.public_id}/file/").status_code == 409
    assert rep.post(f"/exports/{job.public_id}/cancel/").status_code == 302
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    assert rep.get(f"/exports/{job.public_id}/file/").status_code == 410


def test_a_reader_is_offered_nothing():
    team = make_team()
    make_lead(team=team)
    reader = signed_in(make_user(Role.READ_ONLY, team=team))
    assert "/exports/" not in reader.get("/leads/").content.decode()
    assert reader.post("/exports/", {"format": "csv"}).status_code == 403
