"""What did the model see: word for word, for who may see the record, and for nobody else."""

import json

import pytest

from ai_agents.actions.requests import request_analysis
from ai_agents.actions.seen import seen
from ai_agents.agents import AGENTS
from ai_agents.models import AgentCall, AgentTask, TaskState
from ai_agents.prompts import load
from crm.models import Actor, Role
from tests.ai_agents.engine.conftest import Engine
from tests.factories import make_admin, make_call, make_lead, make_team, make_user


def test_what_is_shown_is_what_left_the_process_with_personal_data_masked(engine: Engine, client):
    lead = make_lead(name="Ida Moss", message="Call me on +1 415 555 0100 about a pond.")
    engine.server.script.set({"keep_bodies": 5})
    request_analysis(lead.pk, by=Actor.system())
    engine.target(2)
    engine.run()
    call = AgentCall.objects.get()
    sent = engine.server.seen()["bodies"][-1]
    assert json.dumps(seen(call).user)[1:-1] in (sent if isinstance(sent, str) else json.dumps(sent))
    client.force_login(make_admin())
    html = client.get(f"/leads/{lead.public_id}/calls/").content.decode()
    assert "about a pond" in html
    assert "555 0100" not in html
    assert AGENTS["lead_analysis"].prompt in html


@pytest.mark.django_db
def test_the_instructions_are_shown_without_their_canary():
    call = make_call(make_lead())
    assert "You judge sales leads" in seen(call).system
    assert load("lead_analysis.v1").canary not in seen(call).system


@pytest.mark.django_db
def test_a_prompt_that_is_gone_says_so_instead_of_failing():
    call = make_call(make_lead(), input={"prompt": "lead_analysis.v999", "user": "x"})
    assert "There is no prompt" in seen(call).system


@pytest.mark.django_db
def test_hostile_text_is_shown_as_text(client):
    client.force_login(make_admin())
    lead = make_lead()
    make_call(lead, output='<script>alert(1)</script> "quoted"')
    html = client.get(f"/leads/{lead.public_id}/calls/").content.decode()
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


@pytest.mark.django_db
def test_calls_about_no_record_are_for_who_sees_everything(client):
    call = make_call(None)
    client.force_login(make_user(team=make_team()))
    assert client.get(f"/api/v1/agents/calls/{call.public_id}/").status_code == 404
    assert client.get(f"/agents/tasks/{call.task.public_id}/").status_code == 404
    client.force_login(make_admin())
    assert client.get(f"/api/v1/agents/calls/{call.public_id}/").status_code == 200
    assert client.get(f"/agents/tasks/{call.task.public_id}/").status_code == 200


@pytest.mark.django_db
def test_the_api_gives_tokens_cost_model_and_prompt(client):
    client.force_login(make_user(Role.ADMIN))
    lead = make_lead()
    for number in range(3):
        make_call(lead, output=json.dumps({"fit": number}))
    page = client.get(f"/api/v1/leads/{lead.public_id}/calls/?limit=2").json()
    assert [row["output"] for row in page["results"]] == ['{"fit": 2}', '{"fit": 1}']
    first = page["results"][0]
    assert (first["prompt"], first["model"], first["tokens_in"]) == ("lead_analysis.v1", "a/model", 900)
    assert first["cost_usd"] == "0.000400"
    assert page["next"]
    detail = client.get(f"/api/v1/agents/calls/{first['id']}/").json()
    assert "You judge sales leads" in detail["instructions"]


@pytest.mark.django_db
def test_a_list_of_calls_takes_no_query_per_row(client, django_assert_max_num_queries):
    client.force_login(make_admin())
    lead = make_lead()
    for _number in range(12):
        make_call(lead)
    with django_assert_max_num_queries(12):
        client.get(f"/leads/{lead.public_id}/calls/")


@pytest.mark.django_db
def test_a_failed_task_leads_to_what_the_model_saw(client):
    client.force_login(make_admin())
    call = make_call(make_lead(), status="invalid", error="not_json")
    AgentTask.objects.filter(pk=call.task_id).update(
        state=TaskState.DEAD, error="invalid_output:not_json", finished_at=call.created_at
    )
    assert f"/agents/tasks/{call.task.public_id}/" in client.get("/agents/").content.decode()
