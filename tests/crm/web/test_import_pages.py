"""The import pages: a file goes in step by step, and nothing is written before the last."""

import re
from io import BytesIO

import pytest

from crm.actions.imports import advance_import
from crm.actions.leads import update_lead
from crm.models import Actor, ImportJob, ImportState, Lead, Role
from tests.crm.web.pages import HTMX, signed_in
from tests.factories import make_admin, make_team, make_user

pytestmark = pytest.mark.django_db
CSV = (
    "Full name,E-mail,Budget,Shoe size\n"
    "Ada Byron,ada@example.com,1200,38\n"
    "Lena Fischer,lena.fischer@,900,40\n"
    "Raj Patel,raj@example.com,4200,41\n"
)


@pytest.fixture
def me():
    return make_admin()


def upload(client, text: str = CSV, name: str = "fair.csv", **fields: str):
    file = BytesIO(text.encode())
    file.name = name
    return client.post("/imports/", {"file": file, **fields})


def work(job: ImportJob) -> None:
    """What the queue would do."""
    while advance_import(job.pk, seconds=5):
        pass


def html_of(client, job: ImportJob, query: str = "") -> str:
    answer = client.get(f"/imports/{job.public_id}/{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def mapping_of(job: ImportJob) -> dict[str, str]:
    return {f"column-{n}": job.mapping[column["name"]] for n, column in enumerate(job.columns)}


def test_a_file_goes_in_by_four_steps(me):
    client = signed_in(me)
    answer = upload(client, source="Autumn fair")
    job = ImportJob.objects.get()
    assert answer["Location"] == f"/imports/{job.public_id}/"

    html = html_of(client, job)
    assert "Full name" in html
    assert 'value="email" selected' in html
    assert Lead.objects.count() == 0

    client.post(f"/imports/{job.public_id}/match/", mapping_of(job))
    assert "Checking every row" in html_of(client, job)
    work(job)
    html = html_of(client, job)
    assert "Import 2 leads" in html
    assert "lena.fischer@" in html
    assert '<td class="bad">lena.fischer@</td>' in html
    assert Lead.objects.count() == 0

    client.post(f"/imports/{job.public_id}/run/", {"analyse": "none"})
    assert "Bringing the leads in" in html_of(client, job)
    work(job)
    html = html_of(client, job)
    assert "Look at the leads" in html
    assert Lead.objects.count() == 2
    assert Lead.objects.get(name="Ada Byron").source.name == "Autumn fair"


def test_what_could_not_be_imported_can_be_downloaded(me):
    client = signed_in(me)
    upload(client)
    job = ImportJob.objects.get()
    client.post(f"/imports/{job.public_id}/match/", mapping_of(job))
    work(job)
    answer = client.get(f"/imports/{job.public_id}/problems.csv")
    text = b"".join(answer.streaming_content).decode()
    assert answer["Content-Disposition"] == 'attachment; filename="problems-fair.csv"'
    assert "lena.fischer@" in text
    assert "ada@example.com" not in text


def test_a_column_can_be_left_out_and_another_chosen(me):
    client = signed_in(me)
    upload(client)
    job = ImportJob.objects.get()
    client.post(
        f"/imports/{job.public_id}/match/", {**mapping_of(job), "column-2": "", "column-3": "interest"}
    )
    work(job)
    client.post(f"/imports/{job.public_id}/run/", {"analyse": "none"})
    work(job)
    ada = Lead.objects.get(name="Ada Byron")
    assert (ada.est_value, ada.interest) == (None, "38")


@pytest.mark.parametrize(
    ("text", "name"),
    [("", "empty.csv"), ("Name,E-mail\n", "header.csv"), ("\x00\x01\x02", "binary.csv")],
)
def test_a_file_that_is_no_table_is_refused_beside_the_field(me, text, name):
    answer = upload(signed_in(me), text, name)
    assert answer.status_code == 422
    assert 'id="import-error"' in answer.content.decode()
    assert ImportJob.objects.count() == 0


def test_sending_the_form_without_a_file_says_so(me):
    answer = signed_in(me).post("/imports/", {})
    assert answer.status_code == 422
    assert "Choose a file first" in answer.content.decode()


def test_a_mapping_that_is_none_of_ours_is_refused(me):
    client = signed_in(me)
    upload(client)
    job = ImportJob.objects.get()
    answer = client.post(f"/imports/{job.public_id}/match/", {**mapping_of(job), "column-2": "owner"})
    assert answer.status_code == 422
    job.refresh_from_db()
    assert job.state == ImportState.UPLOADED


def test_an_import_can_be_thrown_away_before_it_runs(me):
    client = signed_in(me)
    upload(client)
    client.post(f"/imports/{ImportJob.objects.get().public_id}/cancel/")
    assert ImportJob.objects.count() == 0


def test_running_before_the_check_is_refused(me):
    client = signed_in(me)
    upload(client)
    job = ImportJob.objects.get()
    client.post(f"/imports/{job.public_id}/run/", {"analyse": "all"})
    work(job)
    assert Lead.objects.count() == 0


def test_a_colleagues_import_is_not_found(me):
    upload(signed_in(me))
    job = ImportJob.objects.get()
    client = signed_in(make_user(Role.MANAGER, team=make_team()))
    for path in ("", "body/", "problems.csv"):
        assert client.get(f"/imports/{job.public_id}/{path}").status_code == 404
    for path in ("match/", "run/", "cancel/"):
        assert client.post(f"/imports/{job.public_id}/{path}").status_code == 404


def test_a_reader_may_not_import():
    client = signed_in(make_user(Role.READ_ONLY, team=make_team()))
    assert client.get("/imports/").status_code == 403
    assert upload(client).status_code == 403


def test_somebody_who_lost_the_right_can_neither_match_nor_throw_away():
    rep = make_user(team=make_team())
    client = signed_in(rep)
    upload(client)
    job = ImportJob.objects.get()
    rep.role = Role.READ_ONLY
    rep.save()
    client.post(f"/imports/{job.public_id}/match/", mapping_of(job))
    client.post(f"/imports/{job.public_id}/cancel/")
    job.refresh_from_db()
    assert job.state == ImportState.UPLOADED


def test_names_of_files_and_columns_are_shown_as_text(me):
    client = signed_in(me)
    upload(client, "<b>Name</b>,E-mail\n<i>Ada</i>,ada@example.com\n", "<img src=x>.csv")
    html = html_of(client, ImportJob.objects.get())
    for tag in ("<b>Name", "<i>Ada", "<img src=x>"):
        assert tag not in html


def test_the_progress_fetches_itself_and_stops_when_done(me):
    client = signed_in(me)
    upload(client)
    job = ImportJob.objects.get()
    client.post(f"/imports/{job.public_id}/match/", mapping_of(job))
    body = client.get(f"/imports/{job.public_id}/body/", **HTMX).content.decode()
    assert "hx-trigger=" in body
    work(job)
    body = client.get(f"/imports/{job.public_id}/body/", **HTMX).content.decode()
    assert 'hx-trigger="live' not in body


def test_each_skipped_row_has_its_reason(me):
    client = signed_in(me)
    upload(client, CSV + "Ada B.,ada@example.com,10,38\n")
    job = ImportJob.objects.get()
    client.post(f"/imports/{job.public_id}/match/", mapping_of(job))
    work(job)
    html = html_of(client, job)
    assert "Why one row is skipped" in html
    assert "Line 5</span> Same e-mail address as line 2." in html


def test_a_finished_import_is_taken_back_after_its_page_said_what_goes_and_stays(me):
    client = signed_in(me)
    upload(client)
    job = ImportJob.objects.get()
    client.post(f"/imports/{job.public_id}/match/", mapping_of(job))
    work(job)
    client.post(f"/imports/{job.public_id}/run/", {"analyse": "none"})
    work(job)
    edited = Lead.objects.get(name="Raj Patel")
    update_lead(edited.pk, by=Actor.of(me), company="Ponds Ltd")
    address = f"/imports/{job.public_id}/undo/"
    assert address in html_of(client, job)
    sheet = client.get(address).content.decode()
    assert re.findall(r'<dd class="num">(\d+)</dd>', sheet) == ["1", "0", "1"]
    assert "Raj Patel" in sheet
    client.post(address)
    html = html_of(client, job)
    assert "Taking the import back" in html
    assert "data-live=" in html
    work(job)
    html = html_of(client, job)
    assert "1 leads went" in html.replace("\n", " ")
    assert address not in html
    assert [lead.name for lead in Lead.objects.all()] == ["Raj Patel"]
    assert "was undone already" in client.get(address, follow=True).content.decode()
