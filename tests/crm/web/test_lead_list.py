"""The list of leads: filters in the address, search, keyset pages, and making a lead."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from crm.models import Lead, LeadStatus, Role, SavedView, Tag, Tagging
from crm.web import lead_filters
from tests.crm.web.pages import HTMX, signed_in
from tests.factories import make_admin, make_lead, make_source, make_team, make_user

pytestmark = pytest.mark.django_db


def shown(html: str) -> list[str]:
    return re.findall(r'class="rowlink"[^>]*><b>([^<]*)</b>', html)


def page(client, query: str = "") -> str:
    answer = client.get(f"/leads/{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_hottest_lead_comes_first_and_the_unscored_last():
    for name, score in (("Cool", 20), ("Hot", 90), ("Warm", 60)):
        make_lead(name=name, score=score, score_source="rules")
    make_lead(name="Unscored")
    assert shown(page(signed_in(make_admin()))) == ["Hot", "Warm", "Cool", "Unscored"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?status=working", {"Worked"}),
        ("?status=open", {"Worked", "Mine"}),
        ("?score=hot", {"Worked"}),
        ("?score=none", {"Mine", "Gone"}),
        ("?owner=me", {"Mine"}),
        ("?owner=none", {"Worked", "Gone"}),
        ("?source=fair", {"Gone"}),
        ("?q=worked", {"Worked"}),
        ("?q=nobody", set()),
    ],
)
def test_a_filter_in_the_address_narrows_the_list(query, expected):
    me = make_admin()
    make_lead(name="Worked", status=LeadStatus.WORKING, score=80, score_source="rules")
    make_lead(name="Mine", owner=me)
    make_lead(
        name="Gone", status=LeadStatus.DISQUALIFIED, disqualify_reason="spam", source=make_source("fair")
    )
    assert set(shown(page(signed_in(me), query))) == expected


def test_search_ignores_case_accents_and_the_order_of_words():
    make_lead(name="Tomás Brandão", search_text="tomas brandao cafe brandao")
    client = signed_in(make_admin())
    for text in ("brandão tomas", "TOMÁS", "cafe"):
        assert shown(page(client, f"?q={text}")) == ["Tomás Brandão"]


def test_a_percent_sign_is_searched_for_not_obeyed():
    make_lead(name="Plain", search_text="plain")
    assert shown(page(signed_in(make_admin()), "?q=%25")) == []


@pytest.mark.parametrize(
    "query",
    [
        "?colour=green", "?status=nonsense", "?score=1", "?owner=1", "?sort=name", "?created=always",
        "?after=%00", "?after=bm9uc2Vuc2U", "?after=WzUwMCwgMV0", "?before=WyJ4IiwgMV0&sort=newest",
        "?after=WzEsIC0xXQ", "?q=a%00b",
    ],
)  # fmt: skip
def test_what_is_not_a_filter_of_ours_is_refused_not_ignored(query):
    assert signed_in(make_admin()).get(f"/leads/{query}").status_code == 400


def test_an_address_that_means_nothing_says_what_is_wrong_with_it():
    page = signed_in(make_admin()).get("/leads/?status=%3Cxx").content.decode()
    assert "status cannot be “&lt;xx”." in page


@pytest.mark.parametrize("sort", ["score", "newest", "oldest"])
def test_pages_forwards_and_backwards_show_every_lead_once(sort, monkeypatch):
    monkeypatch.setattr(lead_filters, "PAGE", 4)
    for n in range(11):
        score = None if n % 4 == 0 else 50 + n % 3
        make_lead(name=f"Lead {n:02}", score=score, score_source="rules" if score else "")
    client = signed_in(make_admin())
    pages, html = [], page(client, f"?sort={sort}")
    while True:
        pages.append(shown(html))
        following = re.search(r'rel="next" href="([^"]+)"', html)
        if not following:
            break
        html = page(client, following.group(1).replace("&amp;", "&"))
    assert [len(p) for p in pages] == [4, 4, 3]
    assert sorted(name for one in pages for name in one) == [f"Lead {n:02}" for n in range(11)]
    back = []
    while True:
        back.insert(0, shown(html))
        previous = re.search(r'rel="prev" href="([^"]+)"', html)
        if not previous:
            break
        html = page(client, previous.group(1).replace("&amp;", "&"))
    assert back == pages


def test_a_page_costs_at_most_six_queries_whatever_it_shows():
    admin = make_admin()
    client = signed_in(admin)
    make_lead(owner=admin)

    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            page(client)
        return len(captured)

    cost()  # the first page of a process reads what it keeps
    few = cost()
    for _n in range(60):
        make_lead(owner=make_user(), source=make_source())
    assert cost() <= few + 1  # the count, once there are more than a page
    assert few <= 6


def test_a_person_sees_only_what_their_role_shows():
    team = make_team()
    me, colleague = make_user(team=team), make_user(team=team)
    make_lead(name="Mine", owner=me, team=team)
    make_lead(name="Pool", team=team)
    make_lead(name="Theirs", owner=colleague, team=team)
    assert set(shown(page(signed_in(me)))) == {"Mine", "Pool"}


def test_htmx_gets_the_table_alone():
    make_lead(name="One")
    html = signed_in(make_admin()).get("/leads/", **HTMX).content.decode()
    assert shown(html) == ["One"]
    assert "<html" not in html


def test_each_filter_has_a_chip_that_takes_it_away():
    html = page(signed_in(make_admin()), "?status=new&score=hot")
    assert 'href="?score=hot"' in html
    assert 'href="?status=new"' in html


def test_a_lead_can_be_written_down_by_hand():
    rep = make_user(team=make_team())
    answer = signed_in(rep).post(
        "/leads/new/", {"name": "Ada Byron", "email": "ada@example.com", "est_value": "1,200"}
    )
    lead = Lead.objects.get(name="Ada Byron")
    assert (answer.status_code, answer["Location"]) == (302, f"/leads/{lead.public_id}/")
    assert (lead.owner, lead.est_value) == (rep, 1200)


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"name": "A", "email": "a@"}, "email", "not an e-mail address"),
        ({"name": "A", "est_value": "lots"}, "est_value", "number"),
        ({}, "name", "Give a name"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(values, field, words):
    answer = signed_in(make_admin()).post("/leads/new/", values)
    html = answer.content.decode()
    assert answer.status_code == 422
    assert words in html
    assert f'id="id_{field}_error"' in html
    assert Lead.objects.count() == 0


def test_a_read_only_person_cannot_write_a_lead_down():
    reader = make_user(Role.READ_ONLY, team=make_team())
    answer = signed_in(reader).post("/leads/new/", {"name": "Ada"})
    assert answer.status_code == 422
    assert Lead.objects.count() == 0


def test_new_this_week_leaves_out_older_ones(noon):
    old = make_lead(name="Old")
    Lead.objects.filter(pk=old.pk).update(created_at=noon - timedelta(days=9))
    new = make_lead(name="New")
    Lead.objects.filter(pk=new.pk).update(created_at=noon - timedelta(days=1))
    assert shown(page(signed_in(make_admin()), "?created=7d")) == ["New"]


def test_tags_stand_beside_the_name_the_first_three_of_them():
    lead = make_lead(name="One")
    for name, colour in (("A<b>", "green"), ("B", "grey"), ("C", "red"), ("D", "blue"), ("E", "blue")):
        Tagging.objects.create(lead=lead, tag=Tag.objects.create(name=name, colour=colour))
    html = page(signed_in(make_admin()))
    assert '<span class="tag ok">A&lt;b&gt;</span>' in html
    assert '<span class="tag bad">C</span>' in html
    assert '<span class="tag" title="D, E">+2</span>' in html
    assert shown(page(signed_in(make_admin()), "?tag=c")) == ["One"]
    assert '<option value="C"' in signed_in(make_admin()).get("/leads/filters/").content.decode()


def heads(html: str) -> list[str]:
    return [text for text in re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', html) if text]


def test_the_address_chooses_the_columns_and_the_name_stays():
    me = make_admin()
    make_lead(name="Ada", company="Pond Ltd", email="ada@example.com", phone="+4912345", country="DE")
    client = signed_in(me)
    assert heads(page(client)) == [
        "Score", "Name", "Status", "Owner", "Source", "Value", "Next step", "Came in",
    ]  # fmt: skip
    html = page(client, "?columns=company&columns=email,phone&columns=country")
    assert heads(html) == ["Name", "Company", "E-mail", "Phone", "Country"]
    row = html[html.index("<tbody>") : html.index("</tbody>")]
    for text in ("Pond Ltd", "ada@example.com", "+4912345", "DE"):
        assert row.count(text) == 1, text
    assert 'name="columns" value="name,company,email,phone,country"' in html, "search keeps them"
    for wrong in ("?columns=password", "?layout=map"):
        assert client.get(f"/leads/{wrong}").status_code == 400


def test_a_board_shows_the_page_by_status():
    make_lead(name="Fresh")
    make_lead(name="Busy", status=LeadStatus.WORKING)
    html = page(signed_in(make_admin()), "?layout=board")
    lanes = re.findall(r'<section class="lane" aria-label="([^"]*)">(.*?)</section>', html, re.S)
    assert [name for name, _html in lanes] == ["New", "Working", "Nurturing"]
    assert "Fresh" in lanes[0][1]
    assert "Busy" in lanes[1][1]
    assert "<table" not in html


def test_a_saved_view_brings_its_columns_and_its_layout():
    client = signed_in(make_admin())
    make_lead()
    client.post("/leads/views/?columns=name,email&layout=board&status=open", {"name": "Mail board"})
    view = SavedView.objects.get()
    assert (view.columns, view.layout, view.filters) == (["name", "email"], "board", {"status": "open"})
    menu = client.get("/leads/views/", **HTMX).content.decode()
    url = re.search(r'href="/leads/(\?[^"]*)">Mail board', menu).group(1).replace("&amp;", "&")
    assert set(url.removeprefix("?").split("&")) == {"status=open", "columns=name%2Cemail", "layout=board"}
    assert 'class="lanes"' in page(client, url)
    assert heads(page(client, url.replace("layout=board", "layout=list"))) == ["Name", "E-mail"]


def test_more_columns_cost_no_more_queries():
    client = signed_in(make_admin())

    def queries(query: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            page(client, query)
        return len(captured)

    for n in range(3):
        make_lead(email=f"a{n}@example.com")
    page(client)
    assert queries("?columns=email,phone,tags,company,country") == queries("")
