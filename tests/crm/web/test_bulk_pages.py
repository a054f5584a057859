"""Many leads of the list at once: asked, started, watched, taken back; all of it works without JavaScript."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from crm.actions.bulk import start_bulk
from crm.actions.bulk_running import advance_bulk
from crm.models import Actor, BulkRow, Job, Lead, LeadStatus, Role, Tag, Tagging
from tests.crm.web.pages import HTMX, signed_in
from tests.factories import make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


def work(job: Job) -> None:
    while advance_bulk(job.pk, seconds=5):
        pass


def test_the_chosen_leads_are_given_away_watched_and_taken_back():
    admin, owner = make_admin(), make_user(name="Mia")
    client = signed_in(admin)
    leads = [make_lead(name=name) for name in ("Ada", "Bob", "Cleo")]
    listed = client.get("/leads/").content.decode()
    assert listed.count('name="lead"') == 3
    assert 'action="/leads/bulk/"' in listed
    address = f"/leads/bulk/?act=assign&lead={leads[0].public_id}&lead={leads[1].public_id}"
    sheet = client.get(address).content.decode()
    assert "Who takes 2 leads?" in sheet
    assert "7 days" in sheet
    assert str(owner.public_id) in sheet
    answer = client.post(address, {"owner": str(owner.public_id)})
    job = Job.objects.get(kind="bulk")
    assert answer.headers["Location"] == f"/bulk/{job.public_id}/"
    page = client.get(f"/bulk/{job.public_id}/").content.decode()
    assert f'data-live="job:{job.public_id}"' in page
    assert "Look again" in page
    work(job)
    assert set(Lead.objects.filter(owner=owner)) == set(leads[:2])
    body = client.get(f"/bulk/{job.public_id}/body/", **HTMX).content.decode()
    assert "Assign to Mia" in body
    counted = r'<span class="n" id="count-people" hx-swap-oob="true">\s*3\s*</span>'
    assert re.search(counted, body), "the sidebar counts anew"
    assert "oob" not in client.get(f"/bulk/{job.public_id}/").content.decode()
    assert "data-live=" not in body
    undo = re.search(r'action="(/undo/[^"]+)"', body)
    assert undo
    answer = client.post(undo.group(1), {"next": f"/bulk/{job.public_id}/"})
    assert answer.headers["Location"] == f"/bulk/{job.public_id}/"
    work(job)
    assert not Lead.objects.filter(owner=owner).exists()
    body = client.get(f"/bulk/{job.public_id}/body/", **HTMX).content.decode()
    assert "Taken back" in body
    assert "/undo/" not in body


def test_all_that_match_are_those_that_pass_the_filters_of_the_list():
    client = signed_in(make_admin())
    for n in range(3):
        make_lead(name=f"L{n}", status=LeadStatus.WORKING)
    other = make_lead(name="Other")
    tag = Tag.objects.create(name="Spring")
    address = f"/leads/bulk/?status=working&act=tag&all=1&lead={other.public_id}"
    assert "Tag 3 leads" in client.get(address).content.decode()
    client.post(address, {"tag": str(tag.public_id), "do": "tag"})
    work(Job.objects.get())
    assert set(Tagging.objects.values_list("lead__name", flat=True)) == {"L0", "L1", "L2"}
    client.post(address, {"tag": str(tag.public_id), "do": "untag"})
    work(Job.objects.latest("pk"))
    assert not Tagging.objects.exists()


def test_refused_rows_are_named_with_their_reasons():
    admin = make_admin()
    client = signed_in(admin)
    make_lead(name="<b>Closed</b>", status=LeadStatus.CONVERTED, converted_at=timezone.now())
    make_lead(name="Open")
    client.post("/leads/bulk/?act=disqualify&all=1", {"reason": "Spam"})
    job = Job.objects.get()
    work(job)
    page = client.get(f"/bulk/{job.public_id}/").content.decode()
    assert "Disqualify: Spam" in page
    assert "&lt;b&gt;Closed&lt;/b&gt;" in page
    assert "cannot go from Converted" in page
    assert Lead.objects.get(name="Open").disqualify_reason == "Spam"


def test_the_dialog_gets_pieces_and_shows_the_progress_in_its_place():
    client, lead = signed_in(make_admin()), make_lead()
    address = f"/leads/bulk/?act=snooze&lead={lead.public_id}"
    sheet = client.get(address, **HTMX).content.decode()
    assert "<html" not in sheet
    assert 'hx-target="#sheet-body"' in sheet
    later = f"{timezone.localtime() + timedelta(days=3):%Y-%m-%dT09:00}"
    body = client.post(address, {"until": later}, **HTMX).content.decode()
    assert 'id="bulk-body"' in body
    assert "every 2s" in body
    work(Job.objects.get())
    lead.refresh_from_db()
    assert lead.status == LeadStatus.NURTURING


@pytest.mark.parametrize(
    ("query", "form", "status"),
    [
        ("act=assign&lead={lead}", {"owner": "nobody"}, 422),
        ("act=assign&lead={lead}", {"owner": ""}, 422),
        ("act=tag&lead={lead}", {"tag": "x"}, 422),
        ("act=snooze&lead={lead}", {"until": "soon"}, 422),
        ("act=snooze&lead={lead}", {"until": "2001-01-01T09:00"}, 422),
        ("act=disqualify&lead={lead}", {"reason": " "}, 422),
        ("act=disqualify&lead={lead}", {"own": "x" * 201}, 422),
        ("act=disqualify&lead={missing}", {"reason": "Spam"}, 422),
        ("act=disqualify&q=nobody+at+all&all=1", {"reason": "Spam"}, 422),
        ("act=disqualify", {"reason": "Spam"}, 302),
        ("act=sell&lead={lead}", {}, 400),
        ("lead={lead}", {}, 400),
        ("act=disqualify&lead=1", {"reason": "Spam"}, 400),
        ("act=disqualify&colour=red&all=1", {"reason": "Spam"}, 400),
        ("act=disqualify&q=%00&all=1", {"reason": "Spam"}, 400),
    ],
)
def test_what_makes_no_sense_is_said_and_starts_nothing(query, form, status):
    lead = make_lead()
    query = query.format(lead=lead.public_id, missing="0" * 8 + "-0000-4000-8000-" + "0" * 12)
    answer = signed_in(make_admin()).post(f"/leads/bulk/?{query}", form)
    assert answer.status_code == status
    if status == 422:
        assert 'role="alert"' in answer.content.decode()
    assert not Job.objects.exists()
    assert not BulkRow.objects.exists()


def test_boxes_and_acts_are_for_those_who_may_change_leads():
    team = make_team()
    make_lead(team=team)
    reader = signed_in(make_user(Role.READ_ONLY, team=team))
    assert 'name="lead"' not in reader.get("/leads/").content.decode()
    assert reader.post("/leads/bulk/?act=disqualify&all=1", {"reason": "Spam"}).status_code == 403
    assert reader.get("/leads/bulk/?act=assign&all=1").status_code == 403
    assert not Job.objects.exists()


def test_a_job_is_watched_stopped_and_taken_back_by_its_own_person_alone():
    admin, rep = make_admin(), make_user(team=make_team())
    job = start_bulk("disqualify", by=Actor.of(rep), ids=[make_lead(owner=rep).public_id], reason="Spam")
    stranger = signed_in(admin)
    for method, place in (("get", ""), ("get", "body/"), ("post", "cancel/")):
        assert getattr(stranger, method)(f"/bulk/{job.public_id}/{place}").status_code == 404
    assert stranger.post(f"/undo/{job.undo_offer.public_id}/").status_code == 404
    own = signed_in(rep)
    assert own.post(f"/bulk/{job.public_id}/cancel/").status_code == 302
    assert "Stopped" in own.get(f"/bulk/{job.public_id}/").content.decode()
    assert own.post(f"/bulk/{job.public_id}/cancel/").status_code == 302  # over already: said in a toast


def test_asking_and_watching_cost_the_same_for_any_number_of_leads():
    admin = make_admin()
    client = signed_in(admin)
    costs = []
    for n in (2, 40):
        ids = [make_lead().public_id for _ in range(n)]
        query = "&".join(f"lead={one}" for one in ids)
        job = start_bulk("disqualify", by=Actor.of(admin), ids=ids, reason="Spam")
        work(job)
        with CaptureQueriesContext(connection) as captured:
            client.get(f"/leads/bulk/?act=assign&{query}", **HTMX)
            client.get(f"/bulk/{job.public_id}/body/", **HTMX)
        costs.append(len(captured))
    assert costs[0] == costs[1] <= 14
