"""Pairs that may be the same: found with reasons, asked once."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from crm import clock
from crm.actions.duplicates import (
    dismiss_candidate,
    find_duplicates_of,
    merge_candidate,
    note_duplicates_of,
    sweep_duplicates,
)
from crm.actions.merging import merge_leads
from crm.errors import InvalidValue, PermissionRefused, TransitionRefused
from crm.models import (
    Account,
    Actor,
    CandidateState,
    Contact,
    DuplicateCandidate,
    Lead,
    MatchKey,
    MergeLog,
)
from crm.tasks import find_duplicates
from tests.factories import actor, make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system()


def sweep() -> int:
    total = 0
    while (seen := sweep_duplicates())[0]:
        total += seen[1]
    return total


def test_duplicates_are_found_by_keys_and_by_names_with_reasons():
    ada = make_lead(name="Ada Lovelace", email="ada@example.com", phone="+442079460018")
    same_mail = make_lead(name="Somebody Else", email="ada@example.com")
    alike = make_lead(name="Ada Lovelac")
    make_lead(name="Charles Babbage", email="cb@example.com")
    make_lead(name="Ada Lovelace", deleted_at=timezone.now())
    found = {one.record_id: one for one in find_duplicates_of(ada)}
    assert set(found) == {same_mail.pk, alike.pk}
    assert found[same_mail.pk].score == 95
    assert found[same_mail.pk].reasons == ("the same e-mail address",)
    assert "written alike" in found[alike.pk].reasons[0]
    assert 45 <= found[alike.pk].score <= 75


def test_colleagues_share_a_domain_and_are_no_duplicates_but_accounts_are():
    people = [make_lead(name=name) for name in ("Ada Lovelace", "Charles Babbage")]
    firms = [Account.objects.create(name=name) for name in ("Lane Ltd", "Garden Works")]
    for lead in people:
        MatchKey.objects.create(lead=lead, kind="domain", value="lane.example")
    for firm in firms:
        MatchKey.objects.create(account=firm, kind="domain", value="lane.example")
    assert find_duplicates_of(people[0]) == []
    assert [one.record_id for one in find_duplicates_of(firms[0])] == [firms[1].pk]


def test_contacts_are_found_too():
    one = Contact.objects.create(full_name="Ada Lovelace", search_text="ada lovelace")
    two = Contact.objects.create(full_name="Ada Lovelance", search_text="ada lovelance")
    assert [found.record_id for found in find_duplicates_of(one)] == [two.pk]


def test_looking_takes_a_fixed_number_of_queries():
    for _n in range(30):
        make_lead(name="Ada Lovelace", email="ada@example.com")
    ada = Lead.objects.first()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert len(find_duplicates_of(ada)) == 20
    asked = [query for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(asked) == 3  # keys, threshold, names


def test_the_sweep_writes_each_pair_once_and_looks_only_at_what_changed():
    for n in range(3):
        make_lead(name=f"Person {n}", email="ada@example.com")
    assert sweep() == 3
    pairs = set(DuplicateCandidate.objects.values_list("lead_a", "lead_b"))
    assert len(pairs) == 3
    assert all(a < b for a, b in pairs)
    with clock.frozen(timezone.now() + timedelta(hours=1)):
        assert sweep() == 0
    with clock.frozen(timezone.now() + timedelta(hours=2)):
        assert sweep_duplicates() == (0, 0)


def test_a_sweep_that_was_stopped_goes_on_where_it_was():
    for n in range(5):
        make_lead(name=f"Person {n}", email="ada@example.com")
    assert sweep_duplicates(limit=2) == (2, 7)
    find_duplicates()
    assert DuplicateCandidate.objects.count() == 10


def test_what_was_dismissed_stays_dismissed_also_across_a_merge():
    boss = actor(make_admin())
    one, two, three = (make_lead(name=f"Person {n}", email="ada@example.com") for n in range(3))
    sweep()
    pair = DuplicateCandidate.objects.get(lead_a=one, lead_b=three)
    dismissed = dismiss_candidate(pair.pk, by=boss)
    assert (dismissed.state, dismissed.decided_by) == (CandidateState.DISMISSED, boss.user)
    assert note_duplicates_of(one) == 0
    merge_leads(two.pk, one.pk, by=boss)
    kept = DuplicateCandidate.objects.get(lead_a=two, lead_b=three)
    assert kept.state == CandidateState.DISMISSED
    assert note_duplicates_of(two) == 0
    with pytest.raises(TransitionRefused):
        dismiss_candidate(kept.pk, by=boss)


def test_a_pair_is_merged_into_the_one_that_was_chosen():
    boss = actor(make_admin())
    one, two = make_lead(name="A", email="ada@example.com"), make_lead(name="B", email="ada@example.com")
    note_duplicates_of(one)
    pair = DuplicateCandidate.objects.get()
    with pytest.raises(InvalidValue):
        merge_candidate(pair.pk, by=boss, winner="c")
    log = merge_candidate(pair.pk, by=boss, winner="b")
    assert (log.winner_lead, log.loser_lead) == (two, one)
    assert "e-mail" in log.reason
    pair.refresh_from_db()
    assert (pair.state, pair.decided_by) == (CandidateState.MERGED, boss.user)
    with pytest.raises(TransitionRefused):
        merge_candidate(pair.pk, by=boss)


def test_only_who_may_change_both_decides():
    team = make_team()
    rep = make_user(team=team)
    mine, pool = (
        make_lead(owner=rep, team=team, email="a@example.com"),
        make_lead(team=team, email="a@example.com"),
    )
    make_lead(email="a@example.com")
    note_duplicates_of(mine)
    with pytest.raises(PermissionRefused):
        dismiss_candidate(DuplicateCandidate.objects.get(lead_a=mine, lead_b=pool).pk, by=actor(rep))
    foreign = DuplicateCandidate.objects.exclude(lead_b=pool).get()
    with pytest.raises(DuplicateCandidate.DoesNotExist):
        dismiss_candidate(foreign.pk, by=actor(rep))


# --- commands -----------------------------------------------------------------------------------------------
def called(*args: str) -> str:
    out = StringIO()
    call_command(*args, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_commands_merge_and_find():
    one, two = make_lead(name="Ada", email="ada@example.com"), make_lead(name="Ben", email="ada@example.com")
    assert '"new": 1' in called("find_duplicates", "--json")
    assert "would move" in called("merge_leads", str(one.pk), str(two.public_id), "--dry-run")
    assert not MergeLog.objects.exists()
    assert "may be undone" in called("merge_leads", str(one.pk), str(two.public_id))
    assert MergeLog.objects.get().loser_lead == two
    for wrong, code in (
        ((str(one.pk), "nonsense"), 2),
        ((str(one.pk),) * 2, 2),
        ((str(one.pk), "999999999"), 1),
    ):
        with pytest.raises(CommandError) as refused:
            called("merge_leads", *wrong)
        assert refused.value.returncode == code
