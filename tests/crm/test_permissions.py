"""The one table of rights, read as people would put it."""

import pytest

from crm.errors import PermissionRefused
from crm.models import Actor, Role
from crm.permissions import (
    RIGHTS,
    SCOPE_OF_VERB,
    SYSTEM_VERBS,
    ExportLimit,
    Reach,
    Verb,
    export_limit,
    may,
    reach,
    require,
)
from tests.factories import make_lead, make_team, make_user

pytestmark = pytest.mark.django_db

ONLY_ADMINS = {Verb.SET_UP, Verb.UNDO_OTHERS, Verb.PRIVACY_APPROVE}
NEVER_REPS = ONLY_ADMINS | {Verb.DELETE, Verb.RESTORE, Verb.SHARE, Verb.INVITE}


def test_each_role_holds_exactly_its_verbs():
    assert set(RIGHTS) == set(Role)
    assert set(RIGHTS[Role.ADMIN]) == set(Verb)
    assert set(Verb) - set(RIGHTS[Role.MANAGER]) == ONLY_ADMINS
    assert set(Verb) - set(RIGHTS[Role.REP]) == NEVER_REPS
    assert set(RIGHTS[Role.READ_ONLY]) == {Verb.SEE}
    assert Reach.ALL not in {*RIGHTS[Role.MANAGER].values(), *RIGHTS[Role.REP].values()}


@pytest.mark.parametrize("verb", Verb)
def test_a_flag_of_django_gives_no_right(verb: Verb):
    reader = make_user(Role.READ_ONLY, is_superuser=True)
    assert may(reader, verb) is (verb == Verb.SEE)


@pytest.mark.parametrize("verb", Verb)
def test_who_left_may_nothing(verb: Verb):
    assert not may(make_user(Role.ADMIN, is_active=False), verb)


def test_a_program_needs_the_scope_and_has_none_for_the_rest():
    admin = make_user(Role.ADMIN)
    whole = Actor.api(admin, label="T", scopes=frozenset(SCOPE_OF_VERB.values()))
    assert {verb for verb in Verb if may(whole, verb)} == set(SCOPE_OF_VERB)
    without = {Verb.DELETE, Verb.MERGE, Verb.INVITE, Verb.AUDIT, Verb.TOKENS, Verb.PRIVACY_APPROVE}
    assert not without & set(SCOPE_OF_VERB)
    assert not any(may(Actor.api(admin, label="T", scopes=frozenset()), verb) for verb in Verb)


def test_neither_the_system_nor_an_agent_ever_sends():
    assert Verb.SEND not in SYSTEM_VERBS
    assert {verb for verb in Verb if may(Actor.agent("LeadAnalysisAgent"), verb)} == {Verb.SEE}


@pytest.mark.parametrize("verb", sorted(set(RIGHTS[Role.MANAGER]) & set(RIGHTS[Role.REP])))
def test_a_managers_reach_ends_at_the_team(verb: Verb):
    team = make_team()
    manager, rep, other = make_user(Role.MANAGER, team=team), make_user(team=team), make_user()
    ours, theirs = make_lead(owner=other, team=team), make_lead(owner=other, team=make_team())
    is_teams = reach(manager, verb) == Reach.TEAM
    assert may(manager, verb, ours) is is_teams
    assert not may(manager, verb, theirs)
    assert not may(rep, verb, ours)
    assert may(rep, verb, make_lead(owner=rep, team=team))


def test_what_may_be_taken_out_is_limited_by_role():
    assert export_limit(make_user(Role.ADMIN)) == ExportLimit()
    assert export_limit(make_user(Role.MANAGER)) == ExportLimit(rows=None, per_hour=5)
    assert export_limit(make_user(Role.REP)) == ExportLimit(rows=500, per_hour=None)
    assert export_limit(Actor.system()) == ExportLimit()
    with pytest.raises(PermissionRefused):
        export_limit(make_user(Role.READ_ONLY))


@pytest.mark.parametrize("verb", Verb)
def test_a_refusal_says_something_of_its_own(verb: Verb):
    with pytest.raises(PermissionRefused) as refused:
        require(make_user(Role.READ_ONLY, is_active=False), verb)
    assert str(refused.value).endswith(".")
