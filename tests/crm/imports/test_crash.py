"""Killed in the middle, run by two at once, met by the front door: no row is lost and none comes twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as site
from django.db import connection, connections

from crm.actions.imports import advance_import, check_import, run_import
from crm.actions.intake import receive_inquiry
from crm.errors import TransitionRefused
from crm.imports.running import ImportRun
from crm.models import Actor, Channel, ImportJob, ImportRow, ImportState, Inquiry, Job, Lead, MatchKey
from crm.tasks import queue_depth, resume_imports, work_on_import
from tests.crm.imports.files import SYSTEM, check, counts, csv_of, people, upload, work

pytestmark = pytest.mark.django_db(transaction=True)
REPOSITORY = Path(__file__).resolve().parents[3]


def start_command(path: Path, media: Path) -> subprocess.Popen[bytes]:
    """`import_leads` as a process of its own on the tests' database."""
    database = connection.settings_dict
    where = (
        f"{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    )
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "gardenos.settings",
        "DATABASE_URL": f"postgresql://{where}",
        "SECRET_KEY": site.SECRET_KEY,
        "GARDENOS_DATA_DIR": str(media.parent),
        "AI_PROVIDER": "off",
        "PYTHONWARNINGS": "ignore",
    }
    return subprocess.Popen(
        [sys.executable, "manage.py", "import_leads", str(path), "--analyse", "none"],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_until(condition, within_s: float = 60) -> None:
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_command_killed_in_the_middle_goes_on_where_it_was(tmp_path: Path, settings, monkeypatch):
    settings.MEDIA_ROOT = tmp_path / "files"
    monkeypatch.setattr("crm.actions.imports.SILENT", timedelta(0))
    path = tmp_path / "leads.csv"
    path.write_bytes(people(2_500))
    process = start_command(path, settings.MEDIA_ROOT)
    wait_until(lambda: Lead.objects.exists() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGKILL)
    process.wait()
    job = ImportJob.objects.get()
    assert job.state == ImportState.RUNNING
    assert 0 < Lead.objects.count() == job.rows_done < 2_500
    run_import(job.pk, by=SYSTEM, in_process=True)
    job = work(job)
    assert (job.state, counts(job)) == (ImportState.DONE, (2_500, 0, 0, 0))
    assert_everything_once(2_500, job)


def assert_everything_once(rows: int, job: ImportJob) -> None:
    assert Lead.objects.count() == Inquiry.objects.count() == rows
    assert ImportRow.objects.filter(job=job).count() == rows
    values = Counter(MatchKey.objects.filter(kind="email").values_list("value", flat=True))
    assert (len(values), max(values.values())) == (rows, 1)


def test_two_workers_on_one_import_take_turns():
    job = check(people(1_000))
    run_import(job.pk, by=SYSTEM, in_process=True)
    in_threads([lambda: work_in_thread(job)] * 2)
    job.refresh_from_db()
    assert (job.state, counts(job)) == (ImportState.DONE, (1_000, 0, 0, 0))
    assert_everything_once(1_000, job)


def test_two_workers_stage_one_file_once():
    job = upload(people(4_500))
    check_import(job.pk, by=SYSTEM, in_process=True)
    in_threads([lambda: work_in_thread(job)] * 2)
    job.refresh_from_db()
    assert (job.state, job.rows_total, counts(job)) == (ImportState.CHECKED, 4_500, (4_500, 0, 0, 0))


def work_in_thread(job: ImportJob) -> None:
    while advance_import(job.pk, seconds=60):
        pass


def in_threads(works) -> None:
    def run(work) -> None:
        try:
            work()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize("policy", ["update", "create"])
def test_the_front_door_and_an_import_make_one_lead_of_one_person(policy: str):
    jobs = []
    for n in range(6):
        job = check(csv_of("Name,E-mail", f"Ada,ada{n}@x.example"), policy=policy)
        run_import(job.pk, by=SYSTEM, in_process=True)
        jobs.append(job)

    def come_in(n: int) -> None:
        payload = {"name": "Ada", "email": f"ADA{n}@x.example"}
        receive_inquiry(channel=Channel.FORM, payload=payload, by=Actor.system())

    in_threads(
        [lambda n=n: come_in(n) for n in range(6)] + [lambda job=job: work_in_thread(job) for job in jobs]
    )
    assert Lead.objects.count() == 6
    assert MatchKey.objects.filter(kind="email").count() == 6


def test_the_queue_works_on_an_import_slice_by_slice(monkeypatch):
    monkeypatch.setattr("crm.tasks.IMPORT_SLICE_S", 0)
    job = upload(people(50))
    check_import(job.pk, by=SYSTEM)
    assert queue_depth("default") == 1
    work_on_import(job.pk)
    assert queue_depth("default") == 2  # the slice has queued the next one


def test_an_import_whose_worker_died_is_found_by_the_sweep():
    job = check(people(50))
    run_import(job.pk, by=SYSTEM)
    before = queue_depth()
    Job.objects.filter(import_job=job).update(updated_at="2026-01-01T00:00:00Z")
    resume_imports()
    assert queue_depth() == before + 1
    work(job)
    Job.objects.filter(import_job=job).update(updated_at="2026-01-01T00:00:00Z")
    resume_imports()
    assert queue_depth() == before + 1


def test_no_transaction_of_an_import_lasts_a_second():
    longest = 0.0
    job = check(people(2_000))
    run_import(job.pk, by=SYSTEM, in_process=True)
    step = ImportRun(job.pk)
    while True:
        began = time.process_time()
        if not step.step():
            break
        longest = max(longest, time.process_time() - began)
    assert longest < 1


def test_an_import_that_may_still_run_is_not_taken_up_and_says_when_it_can_be():
    job = check(people(3))
    run_import(job.pk, by=SYSTEM, in_process=True)
    with pytest.raises(TransitionRefused, match="If its process has ended, try again in 15 s"):
        run_import(job.pk, by=SYSTEM, in_process=True)
