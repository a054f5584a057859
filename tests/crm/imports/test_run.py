"""From a file to leads: verdicts before anything is written, then what they said."""

from collections import Counter
from decimal import Decimal
from itertools import product

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from crm import events
from crm.actions.candidates import ALIKE
from crm.actions.imports import cancel_import, check_import, map_import, run_import, undo_import
from crm.actions.leads import disqualify_lead, update_lead
from crm.actions.persons import _differ
from crm.errors import ImportRefused, PermissionRefused, TransitionRefused
from crm.imports.judging import _DIFFER
from crm.imports.running import ImportRun
from crm.imports.staging import learn_sizes
from crm.imports.summary import analysis_choices, leads_to_analyse, problem_rows, rows_of
from crm.models import (
    Actor,
    CustomField,
    DuplicateCandidate,
    ImportJob,
    ImportRow,
    ImportStage,
    ImportState,
    Inquiry,
    JobState,
    Lead,
    LeadSource,
    MatchKey,
    OutboxEvent,
    Role,
    Score,
    TimelineEvent,
)
from tests.crm.imports.files import SYSTEM, check, counts, csv_of, people, run, stored_files, upload, work
from tests.factories import actor, make_admin, make_lead, make_team, make_user
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db


def test_each_row_becomes_a_lead_with_all_that_belongs_to_it():
    job = run(people(30))
    assert (counts(job), job.rows_done, job.state) == ((30, 0, 0, 0), 30, ImportState.DONE)
    lead = Lead.objects.get(name="Person 7")
    assert (lead.company, lead.kind, lead.est_value, lead.currency) == (
        "Firm 7",
        "business",
        Decimal("7.50"),
        "EUR",
    )
    assert lead.custom == {"garden": "roof", "visits": 7}
    assert {(p.kind, p.norm, p.is_primary) for p in lead.contact_points.all()} == {
        ("email", "p7@firm7.example", True),
        ("phone", "+493055500007", True),
    }
    assert set(lead.match_keys.values_list("kind", "value")) == {
        ("email", "p7@firm7.example"),
        ("phone", "+493055500007"),
        ("domain", "firm7.example"),
        ("name_company", "person 7|firm 7"),
    }
    inquiry = Inquiry.objects.get(lead=lead)
    assert (inquiry.channel, inquiry.state, inquiry.payload["custom"]) == ("csv", "created", lead.custom)
    assert TimelineEvent.objects.get(lead=lead).data == {"again": False, "inquiry": str(inquiry.public_id)}
    blend = Score.objects.get(lead=lead, kind="blend", is_current=True)
    assert (lead.score, lead.score_source) == (blend.value, "rules")
    row = ImportRow.objects.get(job=job, row_no=7)
    assert (row.line_no, row.verdict, row.lead) == (8, "create", lead)


def test_the_same_file_again_creates_nothing_even_after_people_worked_on_its_leads():
    run(people(30))
    admin = actor(make_admin())
    update_lead(Lead.objects.get(name="Person 3").pk, by=admin, name="Renamed")
    disqualify_lead(Lead.objects.get(name="Person 4").pk, by=admin, reason="no budget")
    job = run(people(30))
    assert counts(job) == (0, 0, 30, 0)
    assert Lead.objects.filter(name="Renamed").exists()
    assert {row.message for row in ImportRow.objects.filter(job=job)} == {"This row was imported before."}


def test_a_check_writes_no_lead_and_says_of_each_row_what_will_be():
    make_lead(name="Known", email="known@example.com")
    before = state_of_tables()
    job = check(
        csv_of(
            "Name,E-mail,Phone",
            "New,new@example.com,",
            "Known,known@example.com,+49305550110",
            "Twin,NEW@example.com,",
            ",,",
            "Broken,lena.fischer@,",
            "Short,s@example.com,555-01",
        )
    )
    sources = {"crm_leadsource"}  # the source is made with the upload
    after = state_of_tables()
    assert {name for name in after if after[name] != before[name]} <= sources
    assert [(r.line_no, r.verdict, r.field, r.message.partition(";")[0]) for r in rows_of(job)] == [
        (2, "create", "", ""),
        (3, "update", "", ""),
        (4, "skip", "E-mail", "Same e-mail address as line 2."),
        (5, "skip", "", "The row is empty."),
        (6, "error", "E-mail", "“lena.fischer@” is not an e-mail address"),
        (7, "error", "Phone", "“555-01” is not a phone number"),
    ]
    assert (job.state, counts(job)) == (ImportState.CHECKED, (1, 1, 2, 2))


def test_rows_in_are_created_updated_skipped_or_wrong_and_nothing_else():
    run(people(40))
    content = people(60, start=21).replace(b"p33@firm33.example", b"p33").replace(b"Firm 35", b"New Firm")
    job = run(content)
    assert counts(job) == (40, 1, 18, 1)
    assert sum(counts(job)) == job.rows_total == ImportRow.objects.filter(job=job).count()
    assert Counter(ImportRow.objects.filter(job=job).values_list("verdict", flat=True)) == {
        "create": 40,
        "update": 1,
        "skip": 18,
        "error": 1,
    }


@pytest.mark.parametrize(
    "other",
    ["ADA@example.com", "ada+news@example.com", "ada@example.com ", "\u200fada@example.com"],
)
def test_the_same_address_in_another_dress_is_the_same_person(other: str):
    assert counts(run(csv_of("Name,E-mail", "Ada,ada@example.com", f"Ada,{other}"))) == (1, 0, 1, 0)


def test_an_international_domain_is_the_same_in_both_its_forms():
    content = csv_of("Name,E-mail", "Ada,ada@gärten.example", "Ada,ada@xn--grten-gra.example")
    assert counts(run(content)) == (1, 0, 1, 0)


def test_a_column_of_ids_recognises_leads_within_its_source_only():
    content = csv_of("Record ID,City", "a1,York", "b2,Bath")
    assert counts(run(content, source="Old CRM")) == (2, 0, 0, 0)
    assert Lead.objects.filter(name="Old CRM a1").exists()
    changed = csv_of("Record ID,City", "a1,Ely", "b2,Bath")
    assert counts(run(changed, source="Old CRM")) == (0, 1, 1, 0)
    assert counts(run(content, source="Other")) == (2, 0, 0, 0)


def test_without_an_identifying_column_rows_are_compared_whole():
    content = csv_of("Name,City", "Ada,York", "Ada,Bath", "Ada,York")
    job = run(content)
    assert counts(job) == (2, 0, 1, 0)
    assert "No column holds an e-mail address" in job.warnings[0]
    assert counts(run(content)) == (0, 0, 3, 0)


def test_a_file_without_names_or_keys_names_its_leads_by_source():
    assert counts(run(csv_of("City,Visits", "York,3", "Bath,4"), source="Survey")) == (2, 0, 0, 0)
    assert all(name.startswith("Survey ") for name in Lead.objects.values_list("name", flat=True))


def test_outcomes_are_taken_from_their_column_and_make_no_status():
    content = csv_of("Name,E-mail,Converted", "A,a@x.example,1", "B,b@x.example,0", "C,c@x.example,?")
    job = run(content, outcome="Converted")
    assert counts(job) == (2, 0, 0, 1)
    outcomes = Lead.objects.order_by("name").values_list("outcome", "outcome_from", "status")
    assert list(outcomes) == [("won", "import", "new"), ("lost", "import", "new")]
    assert problem_rows(job)[0].field == "Converted"


def test_unknown_columns_become_custom_fields_of_their_type():
    lines = [f"P{n},p{n}@x.example,{n},{'Yes' if n % 2 else 'No'},{n % 28 + 1}.02.2026" for n in range(1, 31)]
    run(csv_of("Name,E-mail,Visits,Newsletter,Since", *lines))
    fields = dict(CustomField.objects.values_list("label", "type"))
    assert fields == {"Visits": "number", "Newsletter": "boolean", "Since": "date"}
    assert Lead.objects.get(name="P3").custom == {"visits": 3, "newsletter": True, "since": "2026-02-04"}


def test_a_column_that_is_not_what_its_first_rows_promised_becomes_text(monkeypatch):
    monkeypatch.setattr("crm.imports.columns.SAMPLE_ROWS", 10)
    lines = [f"P{n},p{n}@x.example,{n if n < 25 else 'many'}" for n in range(1, 31)]
    job = run(csv_of("Name,E-mail,Visits", *lines))
    assert counts(job) == (30, 0, 0, 0)
    assert CustomField.objects.get(key="visits").type == "text"
    assert [Lead.objects.get(name=name).custom for name in ("P3", "P30")] == [
        {"visits": "3"},
        {"visits": "many"},
    ]


def test_a_field_we_have_keeps_its_type_and_a_column_unlike_it_gets_its_own():
    CustomField.objects.create(key="visits", label="Visits", type="number")
    run(csv_of("Name,E-mail,Visits", "Ada,a@x.example,often", "Ben,b@x.example,never"))
    assert Lead.objects.get(name="Ada").custom == {"visits_text": "often"}


def test_a_day_that_the_calendar_lacks_is_an_error_of_its_row():
    lines = [f"P{n},p{n}@x.example,{n}.02.2026" for n in (*range(1, 21), 31)]
    job = run(csv_of("Name,E-mail,Since", *lines))
    assert counts(job) == (20, 0, 0, 1)
    assert (problem_rows(job)[0].field, problem_rows(job)[0].line_no) == ("Since", 22)


def test_both_ways_to_write_numbers_are_read_by_their_column():
    run(csv_of("Name;E-mail;Wert;Rate", "Ada;a@x.example;1.234,56;2,5", "Ben;b@x.example;€ 7,00;3,5"))
    ada, ben = Lead.objects.order_by("name")
    assert (ada.est_value, ada.custom) == (Decimal("1234.56"), {"rate": 2.5})
    assert (ben.est_value, ben.currency) == (Decimal("7.00"), "EUR")


def test_words_that_say_nothing_are_not_stored():
    run(csv_of("Name,E-mail,Course", "Ada,a@x.example,Select", "Ben,b@x.example,Law"))
    assert Lead.objects.get(name="Ada").custom == {}
    run(csv_of("Name,E-mail,Course", "Cleo,c@x.example,Select", "Dan,d@x.example,Law"), empty_words=[])
    assert Lead.objects.get(name="Cleo").custom == {"course": "Select"}


def test_formulas_are_texts_and_guarded_phones_are_phones():
    run(csv_of("Name,E-mail,Phone", "=1+1,a@x.example,'+49305550110"))
    lead = Lead.objects.get()
    assert lead.name == "=1+1"
    assert lead.contact_points.get(kind="phone").norm == "+49305550110"


def test_a_cell_that_cannot_be_stored_is_an_error_of_its_row_alone():
    content = csv_of(
        "Name,E-mail,Notes", "A\0da,a@x.example,", f"Ben,b@x.example,{'x' * 1_000_000}", "Cleo,c@x.example,"
    )
    job = run(content)
    assert counts(job) == (1, 0, 0, 2)
    assert [row.field for row in problem_rows(job)] == ["Name", "Notes"]


def test_an_unknown_country_costs_the_country_not_the_row():
    job = run(csv_of("Name,E-mail,Country", "Ada,a@x.example,Atlantis", "Ben,b@x.example,Germany"))
    assert list(Lead.objects.order_by("name").values_list("country", flat=True)) == ["", "DE"]
    assert "Atlantis" in ImportRow.objects.get(job=job, row_no=1).message


def test_phones_are_read_as_numbers_of_the_sources_country():
    LeadSource.objects.create(code="uk", name="UK", default_country="GB")
    run(csv_of("Name,Phone", "Ada,020 7946 0018"), source="uk")
    assert MatchKey.objects.filter(kind="phone", value="+442079460018").exists()


@pytest.mark.parametrize("policy", ["update", "skip", "create"])
def test_leads_we_know_are_updated_left_alone_or_asked_again(policy: str):
    run(csv_of("Name,E-mail,Company", "Ada,ada@x.example,Old Ltd"))
    changed = csv_of("Name,E-mail,Phone,Company,Job title", "Ada,ada@x.example,+49305550110,New Ltd,Head")
    job = run(changed, policy=policy)
    lead = Lead.objects.get()
    expected = {"update": ("New Ltd", "Head"), "skip": ("Old Ltd", ""), "create": ("Old Ltd", "Head")}[policy]
    assert (lead.company, lead.title) == expected
    assert counts(job) == ((0, 0, 1, 0) if policy == "skip" else (0, 1, 0, 0))
    assert lead.inquiries.count() == (2 if policy == "create" else 1)
    assert lead.contact_points.count() == (1 if policy == "skip" else 2)
    if policy == "update":
        before = ImportRow.objects.get(job=job).before
        assert before["values"]["company"] == "Old Ltd"
        assert before["points"] == [["phone", "+49305550110"]]
        assert before["version"] == lead.version == 2


@pytest.mark.parametrize("policy", ["update", "skip", "create"])
def test_a_colleague_on_a_shared_number_is_a_lead_of_their_own(policy: str):
    run(csv_of("Name,E-mail,Phone", "Ada Berg,ada@x.example,+49305550110"))
    job = run(csv_of("Name,E-mail,Phone", "Cyd Wald,cyd@x.example,+49305550110"), policy=policy)
    assert counts(job) == (1, 0, 0, 0)
    ada, cyd = Lead.objects.order_by("name")
    assert (ada.name, cyd.name) == ("Ada Berg", "Cyd Wald")
    assert ada.version == 1
    [pair] = DuplicateCandidate.objects.all()
    assert {pair.lead_a, pair.lead_b} == {ada, cyd}
    undo_import(job.pk, by=SYSTEM, in_process=True)
    work(job)
    assert list(Lead.objects.live()) == [ada]


ONE_PERHAPS = [  # of one lead and of a row on its number: nothing says that these are two people
    ("Ada Lovelace", "Ada"),
    ("Ada Lovelace", "A. Lovelace"),
    ("Ada Lovelace", "Lovelace, Ada"),
    ("Zoë Bäcker Øst", "Zoe Backer Ost"),
    ("Ada", "Cyd Wald"),
]


@pytest.mark.parametrize(("known", "named"), ONE_PERHAPS)
def test_a_name_that_proves_nothing_is_no_way_round_the_policy(known: str, named: str):
    lead = make_lead(name=known, phone="+49305550110")
    content = csv_of("Name,E-mail,Phone,Company", f'"{named}",ada@x.example,+49305550110,Ltd')
    assert counts(run(content, policy="skip")) == (0, 0, 1, 0)
    assert Lead.objects.get().version == lead.version


@pytest.mark.parametrize(("known", "named"), ONE_PERHAPS)
def test_a_name_that_proves_nothing_is_no_way_to_a_colleagues_lead(known: str, named: str):
    team = make_team()
    lead = make_lead(name=known, phone="+49305550110", owner=make_user(team=team), team=team)
    rep = make_user(team=make_team())
    content = csv_of("Name,E-mail,Phone,Company", f'"{named}",ada@x.example,+49305550110,Ltd')
    assert counts(run(content, by=actor(rep), policy="create")) == (0, 0, 1, 0)
    assert Lead.objects.get().version == lead.version


def test_a_file_tells_names_apart_as_the_intake_does():
    names = [
        "Ada Lovelace", "ADA  LOVELACE", "Lovelace, Ada", "A. Lovelace", "Ada", "Ada B", "Cyd Wald",
        "O'Neill Ann", "Zoë Bäcker Øst", "Zoe Backer Ost", "Jürgen Weiß", "Jurgen Weiss",
        "Анна Берг", "Олег Кац", "李 小龙", "",
    ]  # fmt: skip
    with connection.cursor() as cursor:
        for ours, theirs in product(names, repeat=2):
            cursor.execute(
                f"SELECT {_DIFFER} FROM (SELECT %(ours)s AS name) AS lead,"
                " (SELECT NULL::text AS full_name) AS contact,"
                " (SELECT jsonb_build_object('name', %(theirs)s::text) AS fields) AS s",
                {"ours": ours, "theirs": theirs, "alike": ALIKE},
            )
            assert cursor.fetchone() == (_differ(ours, theirs),), (ours, theirs)


def test_an_outcome_that_people_decided_outranks_the_files():
    lead = make_lead(name="Ada", email="ada@x.example")
    disqualify_lead(lead.pk, by=actor(make_admin()), reason="no budget")
    lead.refresh_from_db()
    was = lead.outcome
    run(csv_of("Name,E-mail,Won", "Ada,ada@x.example,yes"), outcome="Won")
    lead.refresh_from_db()
    assert (lead.outcome, lead.outcome_from) == (was, "action")


def test_a_colleagues_lead_is_left_alone_and_not_told_about():
    ours, theirs = make_team(), make_team()
    rep, stranger = make_user(team=ours), make_user(team=theirs)
    make_lead(name="Secret", email="ada@x.example", owner=stranger, team=theirs)
    mine = make_lead(name="Ben", email="ben@x.example", owner=rep, team=ours)
    content = csv_of(
        "Name,E-mail,Company", "Ada,ada@x.example,X", "Ben,ben@x.example,Y", "Cleo,cleo@x.example,Z"
    )
    job = run(content, by=actor(rep))
    assert counts(job) == (1, 1, 1, 0)
    assert ImportRow.objects.get(job=job, row_no=1).lead is None
    mine.refresh_from_db()
    assert mine.company == "Y"
    assert Lead.objects.visible_to(rep).filter(name="Cleo").exists()


def test_who_may_not_import_is_refused_and_nothing_is_stored(settings):
    with pytest.raises(PermissionRefused):
        upload(people(1), by=actor(make_user(Role.READ_ONLY)))
    assert stored_files(settings.MEDIA_ROOT) == []


def test_somebody_elses_import_does_not_exist():
    job = check(people(1), by=actor(make_user(team=make_team())))
    with pytest.raises(ImportJob.DoesNotExist):
        run_import(job.pk, by=actor(make_user(team=make_team())))


def test_the_order_of_steps_is_kept():
    job = upload(people(2))
    with pytest.raises(TransitionRefused):
        run_import(job.pk, by=SYSTEM)
    job = run(people(2))
    for act in (map_import, check_import, run_import, cancel_import):
        with pytest.raises(TransitionRefused):
            act(job.pk, by=SYSTEM)


@pytest.mark.parametrize(
    "mapping",
    [
        {"Nobody": "name"},
        {"Name": "shoe_size"},
        {"Name": "email", "E-mail": "email"},
        {"Name": "custom:no spaces"},
    ],
)
def test_a_mapping_that_cannot_be_is_refused(mapping: dict[str, str]):
    job = upload(people(1))
    with pytest.raises(ImportRefused):
        map_import(job.pk, by=SYSTEM, mapping=mapping)


def test_too_many_rows_end_the_check_with_a_sentence(settings):
    settings.GARDENOS_IMPORT_MAX_ROWS = 20
    assert check(people(20)).state == ImportState.CHECKED
    job = check(people(21))
    assert (job.state, job.job.state) == (ImportState.UPLOADED, JobState.FAILED)
    assert job.error == "The file has more than 20 rows."


def test_a_header_without_rows_is_refused(settings):
    with pytest.raises(ImportRefused, match="no rows"):
        upload(csv_of("Name,E-mail"))
    assert stored_files(settings.MEDIA_ROOT) == []


def test_a_broken_file_fails_at_its_line_and_can_be_thrown_away(monkeypatch):
    monkeypatch.setattr("crm.imports.columns.SAMPLE_ROWS", 10)
    job = check(people(20) + b'"open,x\n')
    assert (job.job.state, job.error) == (JobState.FAILED, "A quote that opens on line 22 is never closed.")
    assert cancel_import(job.pk, by=SYSTEM) is None


def test_files_get_random_names_and_are_gone_when_the_import_is_over(settings):
    job = upload(people(3), name="../../evil.csv")
    assert job.file_name == "evil.csv"
    (path,) = stored_files(settings.MEDIA_ROOT)
    assert path.parent == settings.MEDIA_ROOT / "imports"
    assert "evil" not in path.name
    assert path.stat().st_mode & 0o777 == 0o600
    check_import(job.pk, by=SYSTEM, in_process=True)
    work(job)
    run_import(job.pk, by=SYSTEM, in_process=True)
    work(job)
    assert stored_files(settings.MEDIA_ROOT) == []
    assert not ImportStage.objects.exists()


def test_statements_do_not_grow_with_the_rows():
    def statements(rows: int, start: int) -> int:
        job = check(people(rows, start=start))
        run_import(job.pk, by=SYSTEM, in_process=True)
        with CaptureQueriesContext(connection) as captured:
            work(job)
        return len(captured)

    statements(1, 2_001)  # makes the custom fields
    assert statements(400, 1) <= statements(40, 1_001) + 2


def test_an_import_tells_of_itself_not_of_each_lead():
    seen: list[object] = []
    events.on(events.ImportFinished)(seen.append)
    try:
        job = run(people(25), analyse="10")
    finally:
        events._durable[events.ImportFinished].remove(seen.append)
    assert seen == [events.ImportFinished(job.pk, "10")]
    topics = Counter(topic.partition(":")[0] for topic in OutboxEvent.objects.values_list("topic", flat=True))
    assert topics["lead"] == 0
    assert topics["import"] > 0


def test_the_agents_get_none_the_best_or_all_and_the_price_is_told_first(monkeypatch):
    monkeypatch.setattr("crm.ports._ports.price_of_analysis", lambda n: Decimal(n) / 100)
    job = check(people(120))
    assert [(c.value, c.leads, c.price_usd) for c in analysis_choices(job)] == [
        ("none", 0, Decimal(0)),
        ("100", 100, Decimal(1)),
        ("all", 120, Decimal("1.2")),
    ]
    assert job.analyse == "all"
    run_import(job.pk, by=SYSTEM, analyse="10", in_process=True)
    job = work(job)
    best = list(leads_to_analyse(job))
    assert len(best) == 10
    assert min(lead.score for lead in best) >= max(
        lead.score for lead in Lead.objects.exclude(pk__in=[lead.pk for lead in best])
    )


def test_leads_that_came_or_went_between_check_and_run_are_seen():
    gone = make_lead(name="Gone", email="gone@x.example")
    job = check(csv_of("Name,E-mail", "Came,came@x.example", "Gone,gone@x.example"))
    assert counts(job) == (1, 1, 0, 0)
    make_lead(name="Came", email="came@x.example", company="")
    Lead.objects.filter(pk=gone.pk).update(deleted_at=gone.created_at)
    run_import(job.pk, by=SYSTEM, in_process=True)
    job = work(job)
    assert counts(job) == (1, 0, 1, 0)
    assert list(Lead.objects.live().order_by("name").values_list("name", flat=True)) == ["Came", "Gone"]


def test_above_500_rows_nothing_is_analysed_unless_asked():
    assert upload(people(501)).analyse == "none"


def test_stopping_keeps_what_is_written_and_counts_the_rest_as_skipped():
    job = check(people(300))
    run_import(job.pk, by=SYSTEM, in_process=True)
    step = ImportRun(job.pk)
    step.chunk_rows = 100
    step.step()
    cancel_import(job.pk, by=SYSTEM)
    job = work(job)
    assert (job.state, counts(job)) == (ImportState.DONE, (100, 0, 200, 0))
    assert job.error == "Stopped after 100 of 300 rows; the rest was skipped."
    assert Lead.objects.count() == 100


def test_throwing_an_import_away_leaves_nothing(settings):
    before = state_of_tables()
    job = check(people(5), source="Fair")
    cancel_import(job.pk, by=SYSTEM)
    assert state_of_tables() == before


def test_rows_are_judged_by_a_plan_for_as_many_as_there_are():
    def rows_planned_for() -> float:
        with connection.cursor() as cursor:
            cursor.execute("SELECT reltuples FROM pg_class WHERE relname = 'crm_importstage'")
            return cursor.fetchone()[0]

    run(people(20))
    learn_sizes()  # autovacuum saw the stage once the import was over
    assert rows_planned_for() == 0
    check(people(300, start=100))
    assert rows_planned_for() == 300


def test_an_import_that_lost_its_stage_stages_the_file_again():
    job = check(people(300))
    run_import(job.pk, by=SYSTEM, in_process=True)
    step = ImportRun(job.pk)
    step.chunk_rows = 120
    step.step()
    ImportStage.objects.all().delete()  # what a crash of the server does to an UNLOGGED table
    job = work(job)
    assert (job.state, counts(job)) == (ImportState.DONE, (300, 0, 0, 0))
    assert Lead.objects.count() == ImportRow.objects.filter(job=job).count() == 300


def test_agents_actors_do_not_import():
    with pytest.raises(PermissionRefused):
        upload(people(1), by=Actor.agent("LeadAnalysisAgent"))
