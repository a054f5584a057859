"""The table of what becomes of a task by how its run ended."""

import pytest

from ai_agents.actions.outcomes import BACKOFF_MOST_S, MOST_RATE_LIMITED, backoff_s, outcome_of
from ai_agents.errors import (
    BadAnswer,
    Interrupted,
    ModelGone,
    NoAccess,
    ProviderError,
    RateLimited,
    Refused,
    TimedOut,
    WrongRequest,
)
from ai_agents.models import AgentTask, TaskState


def a_task(attempts: int = 1, rate_limited: int = 0) -> AgentTask:
    return AgentTask(attempts=attempts, rate_limited=rate_limited, max_attempts=3)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadAnswer("not_json"), "invalid_output:not_json"),
        (Refused("content_filter"), "refused:content_filter"),
        (WrongRequest("http_422"), "wrong_request:http_422"),
    ],
)
def test_what_asking_again_cannot_mend_is_dead_at_once(error, code):
    outcome = outcome_of(a_task(), error)
    assert (outcome.state, outcome.error) == (TaskState.DEAD, code)


@pytest.mark.parametrize("error", [ProviderError("http_500"), TimedOut(), KeyError("a bug of ours")])
def test_what_may_pass_is_tried_until_the_attempts_are_spent(error):
    for attempts in (1, 2):
        outcome = outcome_of(a_task(attempts), error)
        assert outcome.state == TaskState.QUEUED
        assert not outcome.gives_back
        assert 0 <= outcome.again_s <= 2 * 2**attempts
    assert outcome_of(a_task(3), error).state == TaskState.DEAD


def test_a_429_spends_no_attempt_and_retry_after_wins():
    outcome = outcome_of(a_task(3), RateLimited(retry_after_s=40))
    assert outcome.state == TaskState.QUEUED
    assert outcome.gives_back
    assert 40 <= outcome.again_s <= 41


def test_the_twentieth_429_ends_it():
    assert outcome_of(a_task(rate_limited=MOST_RATE_LIMITED - 2), RateLimited()).state == TaskState.QUEUED
    assert outcome_of(a_task(rate_limited=MOST_RATE_LIMITED - 1), RateLimited()).state == TaskState.DEAD


@pytest.mark.parametrize("error", [NoAccess("http_401"), ModelGone("http_404")])
def test_a_refused_key_and_a_model_that_is_gone_cost_the_task_nothing(error):
    outcome = outcome_of(a_task(3), error)
    assert outcome.state == TaskState.QUEUED
    assert outcome.gives_back
    assert outcome.error == f"{error.code}:{error.reason}"


@pytest.mark.parametrize("error", [ProviderError("http_500"), TimedOut()])
def test_a_failure_while_the_model_is_known_to_be_down_is_not_the_tasks(error):
    outcome = outcome_of(a_task(3), error, is_down=True)
    assert outcome.state == TaskState.QUEUED
    assert outcome.gives_back
    assert outcome_of(a_task(3), KeyError("a bug of ours"), is_down=True).state == TaskState.DEAD


def test_a_drained_task_goes_back_as_it_was():
    outcome = outcome_of(a_task(3), Interrupted())
    assert (outcome.state, outcome.gives_back, outcome.again_s) == (TaskState.QUEUED, True, 0)


def test_backoff_grows_is_spread_and_ends_at_a_quarter_of_an_hour():
    assert all(0 <= backoff_s(tries) <= 2 * 2**tries for tries in range(9))
    long = [backoff_s(60) for _ in range(200)]
    assert max(long) <= BACKOFF_MOST_S
    assert min(long) < BACKOFF_MOST_S / 3 < BACKOFF_MOST_S / 2 < max(long)
