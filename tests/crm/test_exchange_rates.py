"""Exchange rates: written and read, or refused by name."""

from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from crm.actions.exchange_rates import import_exchange_rates, set_exchange_rate
from crm.errors import InvalidValue, PermissionRefused
from crm.models import ExchangeRate, Role
from tests.factories import actor, make_admin, make_user

pytestmark = pytest.mark.django_db
FILE = "date,base,quote,rate\n2026-01-01,gbp,EUR,1.15\n2026-01-02,GBP,EUR,1.16\n\n2026-01-02,GBP,EUR,1.17\n"


def test_a_rate_of_the_same_day_is_replaced():
    admin = actor(make_admin())
    set_exchange_rate(by=admin, base="usd", quote="EUR", on="2026-01-01", rate="0.9")
    set_exchange_rate(by=admin, base="USD", quote="EUR", on="2026-01-01", rate=Decimal("0.91"))
    assert ExchangeRate.objects.get().rate == Decimal("0.91")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"base": "DOLLAR"}, "base"),
        ({"quote": "E1R"}, "quote"),
        ({"quote": "USD"}, "quote"),
        ({"quote": ""}, "quote"),
        ({"on": "1 May"}, "date"),
        ({"rate": "0"}, "rate"),
        ({"rate": "-1"}, "rate"),
        ({"rate": "NaN"}, "rate"),
        ({"rate": "1e99"}, "rate"),
        ({"rate": "one"}, "rate"),
    ],
)
def test_what_is_no_rate_is_refused_by_name(values, field):
    good = {"base": "USD", "quote": "EUR", "on": "2026-01-01", "rate": "0.9"}
    with pytest.raises(InvalidValue) as refused:
        set_exchange_rate(by=actor(make_admin()), **(good | values))
    assert refused.value.field == field
    assert not ExchangeRate.objects.exists()
    set_exchange_rate(by=actor(make_admin()), **good)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "day,base,quote,rate\n",
        FILE + "2026-01-03,GBP,EUR\n",
        FILE + "2026-01-03,GBP,EUR,-1\n",
        FILE + '2026-01-03,GBP,EUR,"1\n',
    ],
)
def test_a_file_is_read_whole_or_not_at_all(text):
    with pytest.raises(InvalidValue, match="Line"):
        import_exchange_rates(text.splitlines(keepends=True), by=actor(make_admin()))
    assert not ExchangeRate.objects.exists()


@pytest.mark.parametrize("role", [Role.MANAGER, Role.REP, Role.READ_ONLY])
def test_only_an_admin_writes_rates(role):
    who = actor(make_user(role))
    with pytest.raises(PermissionRefused):
        import_exchange_rates(FILE.splitlines(), by=who)
    with pytest.raises(PermissionRefused):
        set_exchange_rate(by=who, base="USD", quote="EUR", on="2026-01-01", rate=1)


def test_the_command_reads_a_file(tmp_path: Path):
    admin, path, out = make_admin(), tmp_path / "rates.csv", StringIO()
    path.write_text(FILE, encoding="utf-8-sig")
    call_command("import_exchange_rates", str(path), "--by", admin.email, "--json", stdout=out)
    assert out.getvalue() == '{"rates": 2}\n'
    assert list(ExchangeRate.objects.order_by("date").values_list("rate", flat=True)) == [
        Decimal("1.15"),
        Decimal("1.17"),
    ]


@pytest.mark.parametrize(
    ("content", "by", "code"),
    [(b"\xff\xfe", "", 1), (b"x\n", "", 1), (None, "", 2), (b"", "nobody@x.example", 2)],
)
def test_the_command_says_what_is_wrong(tmp_path: Path, content, by, code):
    path = tmp_path / "rates.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CommandError) as failed:
        call_command("import_exchange_rates", str(path), "--by", by or make_admin().email)
    assert failed.value.returncode == code
