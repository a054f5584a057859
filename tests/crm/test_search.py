"""Finding records: what is found, in which order, by whom, and at what cost."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from crm.actions import search_stages
from crm.actions.identity import fold
from crm.actions.search import EXACT, PART, SLIP, WORD_START, best_of, matching, search_everything
from crm.errors import InvalidValue
from crm.models import Account, Actor, Contact, Lead, Role
from tests.factories import make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db
WEIRD = ["\0", "a\0b", "x" * 10_000, "🌱🌱", "שלום עולם", "مرحبا", "%", "_", "%%%", "\\", "\\\\'", "'':*",
         "a' | 'b", "!&|()<->", '"quoted"', "' OR 1=1 --", "\ud800ab",
         "::tsquery", " ", "", "{}", "ab\ncd\t"]  # fmt: skip


def plant(name: str, company: str = "", email: str = "", phone: str = "", **fields) -> Lead:
    words = f"{fold(name)} {fold(company)} {email} {phone.lstrip('+')}"
    return make_lead(name=name, company=company, email=email, phone=phone, search_text=words, **fields)


def names(text: str) -> list[str]:
    return [hit.record.name for hit in best_of(Lead.objects.visible_to(make_admin()), text, 20)]


def test_the_very_address_comes_before_a_word_before_a_part_before_a_slip():
    slip = plant("Shorpe")
    part = plant("O Sharpen Ltd")
    start = plant("Sharpe Sharp")
    exact = plant("Zoe", email="zoe@example.com")
    hits = best_of(Lead.objects.all(), "zoe@example.com", 9)
    assert [(hit.record, hit.rank) for hit in hits] == [(exact, EXACT)]
    found = {hit.record: hit.rank for hit in best_of(Lead.objects.all(), "sharpe", 9)}
    assert found == {start: WORD_START, part: WORD_START, slip: SLIP}
    found = {hit.record: hit.rank for hit in best_of(Lead.objects.all(), "arpe", 9)}
    assert found[part] == PART


@pytest.mark.parametrize(
    "typed",
    ["halden", "HALDEN", "hald", "alde", "hladen", "haldn", "haldden", "hqlden", "freight halden",
     "hladen frieght", "Hálden", "info@halden.example", "halden.example", "+44 20 7946 0018",
     "020 7946 0018", "79460018", "0018"],
)  # fmt: skip
def test_a_lead_is_found_by_parts_accents_slips_and_any_way_of_writing_its_number(typed: str):
    plant("Halden Freight", "Häfen & Söhne", "info@halden.example", "+442079460018")
    plant("Somebody Else", "Other", "other@example.com", "+33123456789")
    assert names(typed) == ["Halden Freight"]


@pytest.mark.parametrize("typed", ["haldenx y", "qqqq", "0999", "h", "halden zzz", "nobody@halden.example"])
def test_what_is_not_there_is_not_found(typed: str):
    plant("Halden Freight", "Häfen & Söhne", "info@halden.example", "+442079460018")
    assert names(typed) == []


def test_ten_good_hits_leave_no_room_for_guesses():
    plant("Harten")
    for _ in range(9):
        plant("Marten")
    assert names("marten").count("Harten") == 1
    plant("Marten")
    assert "Harten" not in names("marten")


def test_a_slip_of_a_cyrillic_name_is_forgiven():
    plant("Иванов")
    assert names("Иваноф") == ["Иванов"]


@pytest.mark.parametrize("text", WEIRD)
def test_no_text_breaks_the_search(text: str):
    plant("Plain Person")
    admin = make_admin()
    assert "Plain Person" not in [lead.name for lead in matching(Lead.objects.visible_to(admin), text)]
    search_everything(text, by=Actor.of(admin))


def test_everybody_finds_only_what_they_may_see():
    team = make_team()
    rep, mate = make_user(team=team), make_user(team=team)
    plant("Halden Mine", owner=rep, team=team)
    plant("Halden Pool", team=team)
    plant("Halden Theirs", owner=mate, team=team)
    plant("Halden Away", owner=make_user(team=make_team()), team=make_team())
    for typed in ("halden", "hladen", "alden"):
        hits = search_everything(typed, by=Actor.of(rep))[0].hits
        assert {hit.record.name for hit in hits} == {"Halden Mine", "Halden Pool"}, typed
    manager = make_user(Role.MANAGER, team=team)
    assert len(search_everything("halden", by=Actor.of(manager))[0].hits) == 3


def test_all_kinds_are_searched_in_a_fixed_number_of_statements():
    admin = Actor.of(make_admin())
    plant("Halden Lead")
    account = Account.objects.create(name="Halden Freight", search_text="halden freight")
    Contact.objects.create(full_name="Ann Halden", account=account, search_text="ann halden")

    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            groups = search_everything("halden", by=admin)
            assert [group.kind for group in groups] == ["lead", "contact", "account"]
            assert [str(group.hits[0].record.account) for group in groups[1:2]] == ["Halden Freight"]
        return len(queries)

    first = cost()
    assert first <= 8
    for n in range(30):
        plant(f"Halden Lead {n}")
        Contact.objects.create(full_name=f"Halden {n}", account=account, search_text=f"halden {n}")
    assert cost() == first


def test_a_deleted_lead_is_not_found():
    lead = plant("Halden")
    assert names("halden") == ["Halden"]
    Lead.objects.filter(pk=lead.pk).update(deleted_at=lead.created_at)
    assert names("halden") == []


def test_a_list_keeps_its_order_and_filters_within_the_search():
    a, b = plant("Halden A", country="GB"), plant("Halden B", country="DE")
    assert list(matching(Lead.objects.order_by("-pk"), "halden")) == [b, a]
    assert list(matching(Lead.objects.filter(country="GB"), "halden")) == [a]


def _in_a_big_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the few rows were a million: what three of four rows have is common, the four newest are near."""
    big = "big (first, last, n) AS MATERIALIZED (SELECT min(id), max(id), 1000000 FROM crm_lead)"
    monkeypatch.setattr(search_stages, "_big", lambda table: big)
    for name, value in {"SAMPLE": 4, "COMMON": 3, "RECENT": 4, "NEWEST": 3, "ENOUGH": 3}.items():
        monkeypatch.setattr(search_stages, name, value)


@pytest.mark.parametrize("typed", ["gmbh", "mbh", "gm bh"])
def test_of_what_is_common_in_a_big_table_the_newest_are_found(monkeypatch, typed: str):
    leads = [plant(f"Garden {n}", "Gmbh Bhd") for n in range(16)]
    assert len(matching(Lead.objects.all(), typed)) == 16
    _in_a_big_table(monkeypatch)
    assert set(matching(Lead.objects.all(), typed)) == set(leads[-3:])


def test_what_is_common_but_not_among_the_newest_is_found_wherever_it_is(monkeypatch):
    leads = [plant(f"Garden {n}", "Gmbh") for n in range(16)]
    for n in range(4):
        plant(f"Other {n}")
    _in_a_big_table(monkeypatch)
    assert set(matching(Lead.objects.all(), "gmbh")) == set(leads)
    assert set(matching(Lead.objects.filter(pk__in=[leads[0].pk, leads[9].pk]), "gmbh")) == {
        leads[0],
        leads[9],
    }


def test_what_is_rare_in_a_big_table_is_found_wherever_it_is(monkeypatch):
    rare = plant("Rare Gmbh")
    for n in range(19):
        plant(f"Other {n}")
    _in_a_big_table(monkeypatch)
    assert list(matching(Lead.objects.all(), "gmbh")) == [rare]


def test_an_address_is_not_looked_for_within_words():
    plant("Known", email="ann@halden.example")
    plant("Longer", email="joann@halden.example")
    assert names("ann@halden.example") == ["Known"]
    assert names("@halden.example") == ["Longer", "Known"]


def test_a_limit_outside_one_to_fifty_is_refused():
    with pytest.raises(InvalidValue):
        search_everything("halden", by=Actor.of(make_admin()), limit=0)
