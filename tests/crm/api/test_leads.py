"""/api/v1/leads/: lists, intake, changes, and what each refuses."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from crm.actions.base import tell
from crm.actions.intake import receive_inquiry
from crm.models import (
    Actor,
    Channel,
    CustomField,
    FieldType,
    Inquiry,
    Lead,
    LeadStatus,
    Role,
    Score,
    ScoreFactor,
    ScoreSource,
    Tag,
    TimelineEvent,
    User,
    band_of,
)
from tests.crm.api.conftest import Caller, assert_problem, fields
from tests.factories import make_lead, make_source, make_team, make_user

pytestmark = pytest.mark.django_db
URL = "/api/v1/leads/"


def url_of(lead: Lead, what: str = "") -> str:
    return f"{URL}{lead.public_id}/{what}"


def names(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [row["name"] for row in response.json()["results"]]


# --- list ---------------------------------------------------------------------------------------------------


def test_a_list_shows_all_there_is_to_know_at_a_glance(api: Caller):
    owner = make_user(name="Jo Field", team=(team := make_team("North")))
    lead = make_lead(
        name="Ada Green",
        company="Parks Ltd",
        email="ada@example.com",
        phone="+442079460018",
        owner=owner,
        team=team,
        est_value="18400.50",
        score=82,
        score_source=ScoreSource.RULES,
    )
    (row,) = api.get(URL).json()["results"]
    assert row["id"] == str(lead.public_id)
    assert row["owner"] == {"id": str(owner.public_id), "name": "Jo Field"}
    assert row["team"]["name"] == "North"
    assert (row["email"], row["phone"]) == ("ada@example.com", "+442079460018")
    assert (row["est_value"], row["score"], row["band"]) == ("18400.50", 82, "hot")
    assert row["created_at"].endswith("Z")
    assert "search_text" not in row


def test_filters_narrow_by_each_field(api: Caller, admin: User):
    jo, web, fair = make_user(), make_source("web"), make_source("fair")
    make_lead(name="a", owner=jo, source=web, score=40, score_source=ScoreSource.RULES)
    make_lead(name="b", owner=admin, source=fair, score=80, score_source=ScoreSource.RULES)
    make_lead(name="c", status=LeadStatus.WORKING, source=fair)
    Lead.objects.filter(name="a").update(created_at=datetime(2026, 1, 1, 12, tzinfo=UTC))
    for query, expected in {
        "status=new": "ba",
        "status=working": "c",
        f"owner={jo.public_id}": "a",
        "owner=me": "b",
        "owner=none": "c",
        "source=fair": "cb",
        "source=nowhere": "",
        "score_min=41": "b",
        "score_max=79": "a",
        "score_min=40&score_max=80": "ba",
        "created_before=2026-01-01T12:00:01Z": "a",
        "created_after=2026-01-01T12:00:01Z": "cb",
        "created_after=2026-01-01T14:00:00%2B02:00&created_before=2026-01-01T12:00:00Z": "",
        "owner=me&status=new&score_min=60": "b",
        "ordering=created_at": "abc",
        "ordering=-score": "bac",
        "ordering=score": "cab",
    }.items():
        assert "".join(names(api.get(f"{URL}?{query}"))) == expected, query


@pytest.mark.parametrize(
    "query",
    [
        "score_min=abc",
        "score_min=NaN",
        "score_min=1e999999999",
        "score_min=-1",
        "score_max=101",
        "score_min=99999999999999999999",
        "score_min=",
        "owner=abc",
        "owner=%00",
        "owner=1",
        "status=open%00",
        "status=lost",
        "source=" + "x" * 61,
        "source=%00",
        "created_after=xx",
        "created_after=99999-01-01T00:00:00Z",
        "created_after=2026-01-01",
        "created_after=2026-01-01T00:00:00",
        "created_after=2026-02-31T00:00:00Z",
        "q=%00",
        "q=a",
        "q=" + "x" * 201,
        "owner__password__startswith=p",
        "owner__password=p",
        "_connector=OR",
        "search=x",
        "id=1",
        "status=new&status=working",
        "STATUS=new",
        "page=2",
        "offset=100000000000000000000",
    ],
)
def test_a_filter_that_is_not_offered_or_not_of_its_type_is_400(api: Caller, query: str):
    make_lead()
    name = query.partition("=")[0]
    body = assert_problem(api.get(f"{URL}?{query}"), 400, "invalid")
    assert set(fields(body)) == {name}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gree", "ada"),
        ("GREEN ada", "ada"),
        ("grün", ""),
        ("muller", "jürgen"),
        ("Müller", "jürgen"),
        ("parks", "ada"),
        ("ada@ex", "ada"),
        ("020 7946-0018", "ada"),
        ("+44 (0)20", ""),
        ("7946 0018", "ada"),
        ("li", "li"),
        ("wu", "li"),
        ("100%", ""),
        ("a_a", ""),
        ("%%", ""),
        ("' OR 1=1 --", ""),
    ],
)
def test_search_finds_parts_of_what_people_remember(api: Caller, text: str, expected: str):
    by = Actor.system()
    for name, more in {
        "Ada Green": {"company": "Parks Ltd", "email": "ada@example.com", "phone": "+44 20 7946 0018"},
        "Jürgen Müller": {"email": "j@example.org"},
        "Li Wu": {"email": "x@example.net"},
    }.items():
        receive_inquiry(channel=Channel.MANUAL, payload={"name": name, **more}, by=by)
    response = api.get(URL, {"q": text})
    assert [name.split()[0].lower() for name in names(response)] == expected.split()


def test_search_counts_only_what_the_caller_may_see(
    token_caller: Callable[..., Caller], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("crm.actions.search_stages.CANDIDATES", 1)
    rep = make_user(team=(team := make_team()))
    make_lead(name="Green one", owner=make_user())
    make_lead(name="Green two", owner=rep, team=team)
    make_lead(name="Green three", owner=make_user())
    assert names(token_caller(rep).get(URL, {"q": "green"})) == ["Green two"]


@pytest.mark.parametrize("query", ["", "?status=new&owner=me&score_min=1", "?q=lead", "?ordering=-score"])
def test_a_list_costs_three_statements_however_long(
    api: Caller, admin: User, django_assert_num_queries: Any, query: str
):
    api.get(URL)
    for count in (1, 8):
        for _lead in range(count):
            make_lead(owner=admin, email="a@b.example", score=5, score_source=ScoreSource.RULES)
        with django_assert_num_queries(3):  # token, rate, page
            api.get(URL + query)


# --- create -------------------------------------------------------------------------------------------------


def test_an_inquiry_makes_a_lead_and_says_where_it_is(api: Caller):
    body = {
        "name": "Ada Green",
        "email": "Ada@Example.com",
        "phone": "+44 20 7946 0018",
        "company": "Parks Ltd",
        "est_value": "18400.5",
        "country": "gb",
        "message": "We need a garden by spring.",
        "utm": {"campaign": "spring"},
    }
    response = api.send("POST", URL, body)
    assert response.status_code == 201, response.content
    answer = response.json()
    assert (answer["created"], answer["name"], answer["country"]) == (True, "Ada Green", "GB")
    assert (answer["email"], answer["est_value"]) == ("ada@example.com", "18400.50")
    assert response["Location"].endswith(f"{URL}{answer['id']}/")
    assert api.get(response["Location"])["ETag"] == response["ETag"]
    inquiry = Inquiry.objects.get()
    assert (str(inquiry.public_id), inquiry.channel, inquiry.utm) == (
        answer["inquiry"],
        "api",
        {"campaign": "spring"},
    )
    assert Lead.objects.get().owner is None


def test_who_asks_again_gets_attached_and_is_answered_200(api: Caller):
    first = api.send("POST", URL, {"name": "Ada", "email": "ada@example.com"})
    again = api.send("POST", URL, {"name": "Ada G", "email": "ADA@example.com", "message": "Hello?"})
    assert (again.status_code, again.json()["created"]) == (200, False)
    assert again.json()["id"] == first.json()["id"]
    assert (Lead.objects.count(), Inquiry.objects.count()) == (1, 2)


def test_attaching_to_a_lead_out_of_sight_tells_nothing_about_it(token_caller: Callable[..., Caller]):
    make_lead(name="Secret", email="ada@example.com", owner=make_user(), team=make_team())
    rep = make_user(team=make_team())
    response = token_caller(rep).send("POST", URL, {"name": "Ada", "email": "ada@example.com"})
    assert (response.status_code, set(response.json())) == (202, {"created", "inquiry"})
    assert "Location" not in response


def test_own_fields_are_checked_and_kept(api: Caller):
    CustomField.objects.create(key="area", label="Area", type=FieldType.NUMBER)
    made = api.send("POST", URL, {"name": "Ada", "custom": {"area": 120}})
    assert made.status_code == 201
    assert api.get(made["Location"]).json()["custom"] == {"area": 120}
    wrong = api.send("POST", URL, {"name": "Bo", "custom": {"area": "big"}})
    assert fields(assert_problem(wrong, 400, "invalid")) == ["custom.area"]
    unknown = api.send("POST", URL, {"name": "Bo", "custom": {"colour": "red"}})
    assert fields(assert_problem(unknown, 400, "invalid")) == ["custom.colour"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, ""),
        ({"company": "Parks"}, "name"),
        ({"name": 5}, "name"),
        ({"name": None}, "name"),
        ({"name": {"first": "Ada"}}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"email": "no address"}, "email"),
        ({"email": "a\r\nBcc: b@example.com"}, "email"),
        ({"phone": "call me"}, "phone"),
        ({"name": "A", "country": "Germany"}, "country"),
        ({"name": "A", "country": "1!"}, "country"),
        ({"name": "A", "currency": "EURO"}, "currency"),
        ({"name": "A", "est_value": "a lot"}, "est_value"),
        ({"name": "A", "est_value": -1}, "est_value"),
        ({"name": "A", "est_value": "NaN"}, "est_value"),
        ({"name": "A", "est_value": "1e30"}, "est_value"),
        ({"name": "A", "est_value": True}, "est_value"),
        ({"name": "A", "est_value": 0.001}, "est_value"),
        ({"name": "A", "custom": []}, "custom"),
        ({"name": "A", "custom": "x"}, "custom"),
        ({"name": "A", "source": "nowhere"}, "source"),
        ({"name": "A", "source": 1}, "source"),
        ({"name": "A", "source": {"code": "web"}}, "source"),
        ({"name": "A", "source": "\u0000"}, "source"),
        ({"name": "A", "utm": {"a": 1}}, "utm.a"),
        ({"name": "A", "utm": {"a": {"b": "c"}}}, "utm.a"),
        ({"name": "A", "message": "x" * 20_001}, "message"),
        ({"name": "A", "owner": "me"}, "owner"),
        ({"name": "A", "score": 99}, "score"),
        ({"name": "A", "status": "converted"}, "status"),
        ({"name": "A", "created_by": 1}, "created_by"),
        ({"name": "A", "version": 7}, "version"),
        ({"name": "A", "id": str(uuid4())}, "id"),
        ({"name": "A", "team": 1}, "team"),
        ({"name": "A", "deleted_at": None}, "deleted_at"),
    ],
)
def test_a_bad_inquiry_is_refused_by_field_and_leaves_nothing(api: Caller, body: dict, named: str):
    response = api.send("POST", URL, body)
    assert fields(assert_problem(response, 400, "invalid")) == [named]
    assert (Lead.objects.count(), Inquiry.objects.count(), TimelineEvent.objects.count()) == (0, 0, 0)


def test_no_column_of_a_lead_can_be_set_that_the_schema_does_not_name(api: Caller):
    lead = make_lead()
    allowed = {"name", "company", "title", "country", "interest", "est_value", "currency", "custom"}
    allowed |= {"mailing_address", "physical_address"}
    for column in {field.name for field in Lead._meta.get_fields()} - allowed:
        assert_problem(api.send("POST", URL, {"name": "A", column: 1}), 400, "invalid")
        headers = {"If-Match": '"1"'}
        assert_problem(api.send("PATCH", url_of(lead), {column: 1}, headers=headers), 400, "invalid")


# --- retrieve and change ------------------------------------------------------------------------------------


def test_a_lead_shows_its_scores_and_their_reasons(api: Caller, django_assert_num_queries: Any):
    lead = make_lead(email="ada@example.com", score=80, score_source=ScoreSource.RULES)
    score = Score.objects.create(lead=lead, kind="rules", value=80, band="hot", summary="Asks for a quote")
    ScoreFactor.objects.create(score=score, points=20, label="Wants a quote")
    Score.objects.create(lead=lead, kind="blend", value=80, band="hot", blended_from="rules")
    api.get(url_of(lead))
    with django_assert_num_queries(3):  # token, rate, all of it
        response = api.get(url_of(lead))
    assert response["ETag"] == '"1"'
    blend, rules = response.json()["scores"]
    assert (blend["kind"], rules["kind"], rules["is_sample"]) == ("blend", "rules", False)
    assert rules["factors"] == [
        {"points": 20, "label": "Wants a quote", "quote": "", "source_kind": "", "verified": False}
    ]


@pytest.mark.parametrize(
    "name", ["3", "abc", "%D9%A3", "00000000-0000-0000-0000-00000000000", "%00", "..%2f"]
)
def test_a_lead_has_one_name(api: Caller, name: str):
    make_lead()
    assert_problem(api.get(f"{URL}{name}/"), 404, "not_found")


def test_a_uuid_in_another_spelling_is_not_found(api: Caller):
    lead = make_lead()
    assert api.get(url_of(lead)).status_code == 200
    assert_problem(api.get(f"{URL}{str(lead.public_id).upper()}/"), 404, "not_found")
    assert_problem(api.get(f"{URL}{lead.public_id.hex}/"), 404, "not_found")
    assert_problem(api.get(f"{URL}{uuid4()}/"), 404, "not_found")


def patch(api: Caller, lead: Lead, body: Any, match: str = '"1"') -> Any:
    return api.send("PATCH", url_of(lead), body, headers={"If-Match": match} if match else {})


def test_a_change_is_answered_with_the_new_version_and_a_way_back(api: Caller):
    lead = make_lead(name="Ada", company="Old Ltd")
    response = patch(api, lead, {"company": "New Ltd", "email": "ada@example.com"})
    assert response.status_code == 200, response.content
    assert (response.json()["company"], response.json()["email"]) == ("New Ltd", "ada@example.com")
    assert response["ETag"] == '"2"'
    undo = api.send("POST", f"/api/v1/undo/{response.json()['undo']['id']}/")
    assert undo.status_code == 200, undo.content
    assert api.get(url_of(lead)).json()["company"] == "Old Ltd"
    assert_problem(api.send("POST", f"/api/v1/undo/{undo.json()['id']}/"), 409, "undo_refused")


def test_a_change_must_name_the_version_it_saw(api: Caller):
    lead = make_lead(company="Old Ltd")
    assert_problem(patch(api, lead, {"company": "New"}, ""), 428, "precondition_required")
    assert_problem(patch(api, lead, {"company": "New"}, "*"), 428, "precondition_required")
    for malformed in ("1", '"1', '"1", "2"', "W/1", '"\u00e9"'.encode().decode("latin-1")):
        assert_problem(patch(api, lead, {"company": "New"}, malformed), 400, "parse_error")
    for stale in ('"0"', '"2"', 'W/"1"', '"abc"', '"' + "9" * 40 + '"', '""'):
        body = assert_problem(patch(api, lead, {"company": "New"}, stale), 412, "version_conflict")
        assert body["current"] == api.get(url_of(lead)).json()
    lead.refresh_from_db()
    assert (lead.company, lead.version) == ("Old Ltd", 1)


def test_of_two_people_who_read_the_same_the_second_is_shown_what_the_first_wrote(api: Caller):
    lead = make_lead(company="Old Ltd")
    assert patch(api, lead, {"company": "First"}).status_code == 200
    body = assert_problem(patch(api, lead, {"company": "Second"}), 412, "version_conflict")
    assert body["current"]["company"] == "First"
    assert patch(api, lead, {"company": "Second"}, f'"{body["current"]["version"]}"').status_code == 200


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, ""),
        ([], ""),
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"owner": "me"}, "owner"),
        ({"score": 1}, "score"),
        ({"status": "converted"}, "status"),
        ({"message": "no such field here"}, "message"),
        ({"email": "nonsense"}, "email"),
        ({"phone": "1"}, "phone"),
        ({"est_value": "1.234,56"}, "est_value"),
        ({"custom": {"x": 1}}, "custom.x"),
        ({"custom": 1}, "custom"),
    ],
)
def test_a_bad_change_is_refused_by_field(api: Caller, body: Any, named: str):
    lead = make_lead()
    assert fields(assert_problem(patch(api, lead, body), 400, "invalid")) == [named]
    lead.refresh_from_db()
    assert lead.version == 1


# --- verbs --------------------------------------------------------------------------------------------------


def test_a_lead_is_given_to_a_person_or_to_the_pool(api: Caller, admin: User):
    lead = make_lead()
    jo = make_user(name="Jo")
    post = lambda owner: api.send("POST", url_of(lead, "assign/"), {"owner": owner})
    assert post(str(jo.public_id)).json()["owner"]["name"] == "Jo"
    assert post("me").json()["owner"]["id"] == str(admin.public_id)
    assert post(None).json()["owner"] is None
    gone = make_user(is_active=False)
    for bad in (str(uuid4()), str(gone.public_id), "nobody", "1", 1, {}, ""):
        assert fields(assert_problem(post(bad), 400, "invalid")) == ["owner"]
    assert_problem(api.send("POST", url_of(lead, "assign/"), {}), 400, "invalid")


def test_assigning_by_token_needs_its_scope(admin: User, token_caller: Callable[..., Caller]):
    lead = make_lead()
    writer = token_caller(admin, ["read", "write"])
    assert_problem(writer.send("POST", url_of(lead, "assign/"), {"owner": "me"}), 403, "scope_missing")


def test_a_lead_is_taken_out_of_the_work_with_a_reason_and_back(api: Caller):
    lead = make_lead()
    assert_problem(api.send("POST", url_of(lead, "disqualify/"), {}), 400, "invalid")
    assert_problem(api.send("POST", url_of(lead, "disqualify/"), {"reason": " "}), 400, "invalid")
    done = api.send("POST", url_of(lead, "disqualify/"), {"reason": "no budget"})
    assert (done.status_code, done.json()["status"]) == (200, "disqualified")
    again = api.send("POST", url_of(lead, "disqualify/"), {"reason": "no budget"})
    assert_problem(again, 409, "transition_refused")
    assert api.send("POST", f"/api/v1/undo/{done.json()['undo']['id']}/").status_code == 200
    assert api.get(url_of(lead)).json()["status"] == "new"


def test_a_lead_sleeps_until_a_time_in_the_future(api: Caller):
    lead = make_lead()
    until = timezone.now() + timedelta(days=3)
    slept = api.send("POST", url_of(lead, "snooze/"), {"until": until.isoformat()})
    assert (slept.status_code, slept.json()["status"]) == (200, "nurturing")
    for bad in ("2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "2999-01-01", "soon", 5, None):
        response = api.send("POST", url_of(lead, "snooze/"), {"until": bad})
        assert fields(assert_problem(response, 400, "invalid")) == ["until"]


# --- timeline -----------------------------------------------------------------------------------------------


def test_the_story_comes_newest_first_in_pages(api: Caller, admin: User, django_assert_num_queries: Any):
    lead = make_lead()
    for number in range(5):
        at = timezone.now() + timedelta(minutes=number // 2)
        tell(lead, "note.added", f"note {number}", by=Actor.of(admin), occurred_at=at)
    tell(make_lead(), "note.added", "another lead's", by=Actor.system())
    page = api.get(url_of(lead, "timeline/?limit=3")).json()
    assert [event["summary"] for event in page["results"]] == ["note 4", "note 3", "note 2"]
    assert page["results"][0]["actor"]["id"] == str(admin.public_id)
    with django_assert_num_queries(4):  # token, rate, lead, page
        rest = api.get(page["next"]).json()
    assert [event["summary"] for event in rest["results"]] == ["note 1", "note 0"]
    assert_problem(api.get(url_of(lead, "timeline/?status=new")), 400, "invalid")


def test_somebody_elses_lead_has_no_story(token_caller: Callable[..., Caller]):
    lead = make_lead(owner=make_user())
    rep = token_caller(make_user(Role.REP))
    assert_problem(rep.get(url_of(lead, "timeline/")), 404, "not_found")
    assert_problem(rep.get(url_of(lead)), 404, "not_found")


@pytest.mark.parametrize("score", [None, 0, 49, 50, 74, 75, 100])
def test_the_band_in_the_document_is_the_band_of_the_score(api: Caller, score: int | None):
    source = "" if score is None else ScoreSource.RULES
    lead = make_lead(score=score, score_source=source)
    assert api.get(url_of(lead)).json()["band"] == band_of(score)


def test_a_document_holds_any_text_unharmed(api: Caller):
    name = 'Jürgen "\\" <b>\u2028\u202e 李 \x07 %s'
    lead = make_lead(name=name, custom={"a": [1, {"b": None}]})
    assert api.get(url_of(lead)).json()["name"] == name
    assert api.get(URL).json()["results"][0]["name"] == name
    assert api.get(url_of(lead)).json()["custom"] == {"a": [1, {"b": None}]}


def test_tags_are_read_stuck_on_taken_off_and_filtered_by(api: Caller):
    Tag.objects.bulk_create([Tag(name="VIP", colour="red"), Tag(name="Autumn")])
    lead, _other = make_lead(), make_lead()
    place = f"/api/v1/leads/{lead.public_id}/"
    assert api.get(place).json()["tags"] == []
    answer = api.send("POST", f"{place}tag/", {"tag": "vip"}).json()
    assert (answer["tags"], answer["version"]) == (["VIP"], 2)
    api.send("POST", f"{place}tag/", {"tag": "Autumn"})
    assert api.get(place).json()["tags"] == ["Autumn", "VIP"]
    assert [one["id"] for one in api.get("/api/v1/leads/?tag=VIP").json()["results"]] == [str(lead.public_id)]
    assert api.get("/api/v1/leads/?tag=nothing").json()["results"] == []
    assert api.send("POST", f"/api/v1/undo/{answer['undo']['id']}/", {}).status_code == 409
    off = api.send("POST", f"{place}untag/", {"tag": "VIP"}).json()
    assert off["tags"] == ["Autumn"]
    assert api.send("POST", f"/api/v1/undo/{off['undo']['id']}/", {}).status_code == 200
    assert api.get(place).json()["tags"] == ["Autumn", "VIP"]
    for body in ({}, {"tag": "none such"}, {"tag": 5}, {"tag": "VIP", "colour": "red"}):
        problem = assert_problem(api.send("POST", f"{place}tag/", body), 400, "invalid")
        assert fields(problem) == ["colour" if "colour" in body else "tag"]


def test_own_fields_narrow_the_list_and_are_checked(token_caller: Any, django_assert_max_num_queries: Any):
    me = make_user(Role.ADMIN)
    CustomField.objects.create(key="size", label="Size", type="number")
    CustomField.objects.create(key="old", label="Old", is_active=False)
    for size in (20, 50, 90):
        make_lead(name=f"Garden {size}", custom={"size": size})
    caller = token_caller(me)

    def names(query: str) -> list[str]:
        return [
            row["name"] for row in caller.get(f"/api/v1/leads/?ordering=created_at&{query}").json()["results"]
        ]

    names("")
    with django_assert_max_num_queries(8):
        assert names("custom:size_min=50") == ["Garden 50", "Garden 90"]
    assert names("custom:size=20") == ["Garden 20"]
    assert names("custom:size_min=30&custom:size_max=60&q=garden") == ["Garden 50"]
    for query, name in {
        "custom:colour=red": "custom:colour",
        "custom:old=1": "custom:old",
        "custom:size=big": "custom:size",
        "custom:size_min=big": "custom:size_min",
    }.items():
        body = assert_problem(caller.get(f"/api/v1/leads/?{query}"), 400, "invalid")
        assert body["errors"][0]["field"] == name


def test_what_lacks_a_required_own_field_or_empties_it_is_refused_by_its_name(api: Caller):
    CustomField.objects.create(key="budget", label="Budget", type=FieldType.NUMBER, is_required=True)
    assert fields(assert_problem(api.send("POST", URL, {"name": "Ida"}), 400, "invalid")) == ["custom.budget"]
    made = api.send("POST", URL, {"name": "Ida", "custom": {"budget": 7}})
    assert made.status_code == 201
    address, etag = f"{URL}{made.json()['id']}/", {"If-Match": made["ETag"]}
    emptied = api.send("PATCH", address, {"custom": {"budget": None}}, headers=etag)
    assert fields(assert_problem(emptied, 400, "invalid")) == ["custom.budget"]
