"""`manage.py create_api_token` prints a token that opens the door, once."""

from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from crm.actions.tokens import create_token, find_token
from crm.errors import InvalidValue
from crm.models import ApiToken, User
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("create_api_token", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_command_prints_only_the_token_so_that_scripts_can_take_it():
    user = make_user(email="jo@example.com")
    out, err = run("--email", "Jo@Example.com", "--name", "Zapier")
    token = find_token(out.strip())
    assert token is not None
    assert (token.user, token.name, token.scopes, token.expires_at) == (
        user,
        "Zapier",
        ["read", "write"],
        None,
    )
    assert out.strip() not in err
    assert out.count("\n") == 1


def test_scopes_and_the_last_day_are_as_told():
    make_user(email="jo@example.com")
    run(
        "--email",
        "jo@example.com",
        "--name",
        "N",
        "--scope",
        "read",
        "--scope",
        "send",
        "--expires",
        "2999-05-01",
    )
    token = ApiToken.objects.get()
    assert token.scopes == ["read", "send"]
    assert token.expires_at == datetime(2999, 5, 1, 23, 59, 59, 999999, tzinfo=UTC)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--email", "nobody@example.com", "--name", "N"),
        ("--email", "gone@example.com", "--name", "N"),
        ("--email", "jo@example.com", "--name", " "),
        ("--email", "jo@example.com", "--name", "N" * 121),
        ("--email", "jo@example.com", "--name", "N", "--expires", "2020-01-01"),
        ("--email", "jo@example.com", "--name", "N", "--expires", "tomorrow"),
        ("--email", "jo@example.com", "--name", "N", "--expires", "2026-02-31"),
        ("--email", "jo@example.com", "--name", "N", "--expires", "9999-12-31"),
    ],
)
def test_wrong_use_exits_2_and_makes_nothing(arguments: tuple[str, ...]):
    make_user(email="jo@example.com")
    make_user(email="gone@example.com", is_active=False)
    with pytest.raises(CommandError) as refused:
        run(*arguments)
    assert refused.value.returncode == 2
    assert ApiToken.objects.count() == 0


@pytest.mark.parametrize(
    "arguments", [("--name", "N"), ("--email", "a@b.c", "--name", "N", "--scope", "all")]
)
def test_arguments_that_do_not_parse_are_refused_by_the_parser(arguments: tuple[str, ...]):
    with pytest.raises(CommandError, match="argument"):
        run(*arguments)


def test_an_unknown_scope_is_refused():
    user: User = make_user()
    with pytest.raises(InvalidValue):
        create_token(user, name="N", scopes=["everything"])


def test_the_pepper_matters(settings: Any):
    _token, text = create_token(make_user(), name="N", scopes=["read"])
    assert find_token(text) is not None
    settings.TOKEN_PEPPER = "another pepper, of more than thirty-two characters"
    assert find_token(text) is None
