"""What somebody tries who may read the description of the API and guess: foreign ids, missing scopes, one id
in the place of another, the same request again. Each attack stands beside the same act by who may do it.
"""

from typing import Any

import pytest
from django.test import Client

from crm.actions.base import undo
from crm.actions.bulk import start_bulk
from crm.actions.bulk_running import advance_bulk
from crm.actions.tokens import create_token
from crm.errors import UndoRefused
from crm.models import (
    Actor,
    BulkRow,
    ImportState,
    Inquiry,
    InquiryState,
    Job,
    Lead,
    Role,
    Tag,
    Tagging,
    Undo,
    User,
)
from tests.crm.test_rights import World
from tests.factories import make_lead, make_source, make_team, make_user
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db


def program(user: User, *scopes: str) -> Client:
    _token, text = create_token(user, name="T", scopes=list(scopes))
    return Client(headers={"Authorization": f"Bearer {text}"}, raise_request_exception=False)


def browser(user: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def post(client: Client, path: str, body: Any = None, **headers: str) -> int:
    return client.post(path, body or {}, content_type="application/json", headers=headers).status_code


@pytest.fixture
def world() -> World:
    return World("rep")


@pytest.mark.parametrize("act", ["override", "lift-override"])
def test_a_token_sets_no_score_that_its_owner_may_not_set(world: World, act: str):
    body = {"value": 80, "reason": "called me"} if act == "override" else {"reason": "was wrong"}
    mine, ids = (
        program(world.user, "read", "write"),
        {name: one.public_id for name, one in world.leads.items()},
    )
    reader = make_user(Role.READ_ONLY, team=world.leads["own"].team)
    before = state_of_tables()
    path = "/api/v1/leads/{}/" + act + "/"
    assert post(mine, path.format(ids["foreign"]), body) == 404
    assert post(mine, path.format(ids["pool"]), body) == 403
    assert post(program(world.user, "read"), path.format(ids["own"]), body) == 403
    assert post(program(reader, "read", "write"), path.format(ids["own"]), body) == 403
    assert post(mine, path.format(world.follow_ups["own"].public_id), body) == 404
    assert post(Client(), path.format(ids["own"]), body) == 401
    tokens = {"crm_apitoken", "crm_user"}
    assert {t for t, was in state_of_tables().items() if was != before[t]} <= tokens
    wanted = 200 if act == "override" else 409  # nobody set it
    key = {"Idempotency-Key": "once"}
    assert [post(mine, path.format(ids["own"]), body, **key) for _time in range(2)] == [wanted, wanted]
    assert world.leads["own"].timeline.filter(kind="lead.score_overridden").count() == (act == "override")


def test_a_small_form_that_is_refused_says_why_with_an_error_status(world: World):
    def answers(record: str, form: dict[str, str], **headers: str) -> tuple[int, str]:
        path = f"/leads/{world.leads[record].public_id}/override/"
        answer = world.client.post(path, form, headers=headers)
        return answer.status_code, answer.content.decode()

    good = {"value": "80", "reason": "called me", "days": "30"}
    before = state_of_tables()
    for record, form, status, why in (
        ("pool", good, 403, "only its owner or their manager"),
        ("own", {**good, "value": "101"}, 400, "from 0 to 100"),
        ("own", {**good, "reason": " "}, 400, "Say why"),
        ("own", {"lift": "1", "reason": "wrong"}, 409, "Nobody set this score"),
    ):
        assert answers(record, form)[0] == status
        assert why in answers(record, form)[1]
        assert answers(record, form, **{"HX-Request": "true"})[0] == 200  # htmx shows nothing else
    assert state_of_tables() == before
    assert answers("own", good)[0] == 302


def test_held_inquiries_are_decided_by_managers_of_their_team_once(world: World):
    ours, theirs = (
        Inquiry.objects.create(
            source=make_source(code, default_team=team), channel="form", state=InquiryState.SPAM,
            payload={"name": "Ada", "email": f"{code}@firm.example"},
        )
        for code, team in (("ours", world.leads["own"].team), ("theirs", world.leads["foreign"].team))
    )  # fmt: skip
    manager = browser(make_user(Role.MANAGER, team=world.leads["own"].team))
    reader = browser(make_user(Role.READ_ONLY, team=world.leads["own"].team))
    form = {"action": "accept", "_selected_action": [ours.pk, theirs.pk], "index": "0"}
    for outsider in (world.client, reader, Client()):
        assert outsider.post("/admin/crm/inquiry/", form)["Location"].startswith("/a")
        assert outsider.get(f"/admin/crm/inquiry/{ours.pk}/change/").status_code == 302
    assert manager.get(f"/admin/crm/inquiry/{theirs.pk}/change/")["Location"] == "/admin/"
    assert set(Inquiry.objects.filter(pk__in=[ours.pk, theirs.pk]).values_list("state", flat=True)) == {
        "spam"
    }
    for _again in range(2):
        manager.post("/admin/crm/inquiry/", form)
    ours.refresh_from_db()
    theirs.refresh_from_db()
    assert (ours.state, theirs.state) == (InquiryState.CREATED, InquiryState.SPAM)
    assert Lead.objects.filter(inquiries=ours).count() == 1
    assert ours.lead is not None
    assert ours.lead.inquiries.count() == 1


@pytest.mark.parametrize("act", ["accept", "dismiss"])
def test_a_proposal_is_decided_by_who_may_change_the_lead_and_once(world: World, act: str):
    path = "/replies/{}/" + act + "/"
    reader = browser(make_user(Role.READ_ONLY, team=world.leads["own"].team))
    before = state_of_tables()
    assert world.client.post(path.format(world.triages["foreign"].public_id)).status_code == 404
    assert world.client.post(path.format(world.leads["own"].public_id)).status_code == 404
    assert world.client.post(path.format(world.triages["pool"].public_id)).status_code == 302
    assert reader.post(path.format(world.triages["own"].public_id)).status_code == 302
    assert world.client.post(path.format(world.triages["own"].public_id), {"version": "7"}).status_code == 302
    assert state_of_tables() == before
    for _again in range(2):
        world.client.post(path.format(world.triages["own"].public_id), {"version": "1"})
    world.triages["own"].refresh_from_db()
    assert world.triages["own"].state == {"accept": "accepted", "dismiss": "dismissed"}[act]
    assert world.leads["own"].timeline.filter(kind__startswith="reply.").count() == 1


def test_a_review_is_asked_for_by_who_may_change_the_opportunity(world: World, settings: Any):
    settings.AI_PROVIDER = "scripted"
    mine, path = program(world.user, "read", "write"), "/api/v1/opportunities/{}/review/"
    ids = {name: one.public_id for name, one in world.cards.items()}
    reader = make_user(Role.READ_ONLY, team=world.cards["own"].team)
    assert post(mine, path.format(ids["foreign"])) == 404
    assert post(mine, path.format(ids["pool"])) == 403
    assert post(mine, path.format(world.leads["own"].public_id)) == 404
    assert post(program(world.user, "read"), path.format(ids["own"])) == 403
    assert post(program(reader, "read", "write"), path.format(ids["own"])) == 403
    tasks = world.calls["own"].task.__class__.objects.filter(kind="opportunity")
    assert not tasks.exists()
    assert [post(mine, path.format(ids["own"])) for _again in range(2)] == [202, 202]
    assert tasks.count() == 1


def test_an_import_is_taken_back_by_who_made_it_and_once(world: World):
    for job in world.imports.values():
        job.state = ImportState.DONE
        job.save_changed("state")
    team = world.leads["own"].team
    ids = {name: one.public_id for name, one in world.imports.items()}
    before = [job.job.cursor for job in world.imports.values()]
    for who in (
        make_user(Role.READ_ONLY, team=team),
        make_user(Role.MANAGER, team=team),
        make_user(team=team),
    ):
        assert browser(who).post(f"/imports/{ids['own']}/undo/").status_code == 404
    assert world.client.post(f"/imports/{ids['foreign']}/undo/").status_code == 404
    assert world.client.post(f"/imports/{world.exports['own'].public_id}/undo/").status_code == 404
    assert post(program(world.user, "read", "import"), f"/imports/{ids['own']}/undo/") == 302  # to sign in
    assert [Job.objects.get(import_job=job).cursor for job in world.imports.values()] == before
    for _again in range(2):
        answer = world.client.post(f"/imports/{ids['own']}/undo/", follow=True)
    assert "being undone" in answer.content.decode()
    assert Job.objects.get(import_job=world.imports["own"]).cursor["phase"] == "undo"
    assert Job.objects.get(import_job=world.imports["foreign"]).cursor == before[1]


def test_a_bulk_act_touches_nothing_that_its_doer_may_not_change(world: World):
    ids = [str(world.leads[record].public_id) for record in ("own", "pool", "foreign")]
    vip = world.tag
    body = {"act": "tag", "ids": ids, "tag": vip.name}
    assert post(program(world.user, "read"), "/api/v1/bulk/", body) == 403
    assert post(
        program(world.user, "read", "write"), "/api/v1/bulk/", {**body, "act": "assign", "owner": "me"}
    ) in {400, 403}
    assert post(program(world.user, "read", "write"), "/api/v1/bulk/", body) == 202
    query = "&".join(["act=tag", *(f"lead={one}" for one in ids)])
    assert world.client.post(f"/leads/bulk/?{query}", {"tag": str(vip.public_id)}).status_code == 302
    for job in Job.objects.filter(kind="bulk", created_by=world.user).exclude(rows=None).distinct():
        run(job)
    assert set(Tagging.objects.values_list("lead", flat=True)) == {world.leads["own"].pk}
    job = Job.objects.filter(kind="bulk", created_by=world.user).latest("pk")
    assert (job.result["missing"], job.result["refused"]) == (1, 1)
    stranger = browser(make_user(team=world.leads["foreign"].team))
    assert stranger.get(f"/bulk/{job.public_id}/").status_code == 404
    assert stranger.post(f"/bulk/{job.public_id}/cancel/").status_code == 404
    offer = Undo.objects.filter(by=world.user, action="bulk").latest("pk")
    assert stranger.post(f"/undo/{offer.public_id}/").status_code == 404


def test_who_loses_their_rights_while_a_bulk_act_waits_changes_nothing_more():
    rep = make_user(team=(team := make_team()))
    leads = [make_lead(owner=rep, team=team) for _number in range(2)]
    tag = Tag.objects.create(name="Late")
    for role, wanted in ((Role.READ_ONLY, "refused"), (Role.REP, "changed")):
        User.objects.filter(pk=rep.pk).update(role=Role.REP)
        rep.refresh_from_db()
        job = start_bulk("tag", by=Actor.of(rep), ids=[one.public_id for one in leads], tag=tag)
        User.objects.filter(pk=rep.pk).update(role=role)
        run(job)
        assert set(BulkRow.objects.filter(job=job).values_list("state", flat=True)) == {wanted}


def test_what_was_taken_back_is_not_taken_back_again(world: World):
    lead = world.leads["own"]
    path = f"/api/v1/leads/{lead.public_id}/override/"
    offer = world.client.post(
        path, {"value": 90, "reason": "knows us"}, content_type="application/json"
    ).json()
    offer = offer["undo"]["id"]
    assert world.client.post(f"/api/v1/undo/{offer}/").status_code == 200
    assert world.client.post(f"/api/v1/undo/{offer}/").status_code == 409
    with pytest.raises(Undo.DoesNotExist):
        undo(offer, by=Actor.of(world.mate))
    with pytest.raises(UndoRefused):
        undo(offer, by=Actor.of(world.user))


def run(job: Job) -> None:
    while advance_bulk(job.pk, seconds=5):
        pass
