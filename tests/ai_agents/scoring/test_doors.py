"""What the API, the agents' page and the lead's page tell of the statistical score."""

import pytest
from django.test import Client

from ai_agents.actions.fitting import refit
from ai_agents.actions.grading import grade_scores
from ai_agents.actions.statistics import score_by_statistics
from crm import clock
from crm.actions.scores import score_by_rules
from crm.models import Role
from tests.ai_agents.scoring.conftest import MakeHistory
from tests.ai_agents.scoring.test_statistics import close
from tests.factories import make_lead, make_user

pytestmark = pytest.mark.django_db
MISSING = "Not enough history: 12 of 100 outcomes."


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(make_user(Role.ADMIN))
    return client


def test_every_door_says_what_history_is_missing(make_history: MakeHistory, admin: Client):
    make_history(12)
    lead = make_lead()
    score_by_rules(lead.pk)
    told = admin.get("/api/v1/agents/scoring/").json()
    assert (told["is_active"], told["sentence"], told["fits"]) == (False, MISSING, [])
    for page in ("/agents/", f"/leads/{lead.public_id}/", f"/leads/{lead.public_id}/score/"):
        assert MISSING in admin.get(page).content.decode(), page


def test_what_was_said_stands_beside_what_came(make_history: MakeHistory, admin: Client):
    make_history(200)
    note = refit()
    for outcome in ("won", "won", "lost"):
        lead = make_lead(custom={"job": "Owner"})
        score_by_statistics([lead.pk])
        close(lead, outcome)
    grade_scores(clock.now())
    told = admin.get("/api/v1/agents/scoring/").json()
    assert told["is_active"]
    assert [fit["note"] for fit in told["fits"]] == [note]
    found = next(
        one for one in told["calibration"] if (one["kind"], one["horizon_days"]) == ("statistics", 90)
    )
    assert found["graded"] == 3
    assert [(one["count"], one["won"]) for one in found["by_band"]] == [(3, 2)]
    page = admin.get("/agents/").content.decode()
    assert note in page
    assert "67%" in page
    assert "21% to 94%" in page


def test_the_leads_page_shows_points_that_add_up_to_the_score(make_history: MakeHistory, admin: Client):
    make_history(200)
    refit()
    lead = make_lead(custom={"job": "Owner"})
    score = score_by_statistics([lead.pk])[lead.pk]
    page = admin.get(f"/leads/{lead.public_id}/score/").content.decode()
    assert "An average lead stands at" in page
    assert f"<b>{score.base}</b>" in page
    assert "Job: Owner" in page
    assert f"Learned from your own outcomes ({score.version})" in page
