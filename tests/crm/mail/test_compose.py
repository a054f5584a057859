"""What the reader sees is what was approved, whatever the text holds."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crm.errors import InvalidValue
from crm.mail.compose import Letter, clean_address, clean_body, clean_subject, compose
from crm.mail.transport import Outcome, deliver
from tests.crm.mail.smtp_server import text_of

ANY_TEXT = st.text(
    st.one_of(st.characters(exclude_categories=["Cs", "Cc"]), st.sampled_from('\n\t .=?_F"<>@,éß漢🌿')),
    max_size=300,
)
FIELDS = {
    "from", "to", "reply-to", "subject", "date", "message-id", "mime-version", "content-type",
    "content-transfer-encoding",
}  # fmt: skip


def letter(**changes: object) -> Letter:
    values = {
        "message_id": "one@crm.example",
        "sender": "crm@firm.example",
        "sender_name": "Ann O'Neil, Dr.",
        "reply_to": "ann@firm.example",
        "to": "customer@example.com",
        "subject": "Your garden",
        "text": "Hello\n",
        "at": datetime(2026, 3, 2, 12, tzinfo=UTC),
    }
    return Letter(**{**values, **changes})


def read(raw: bytes) -> EmailMessage:
    return message_from_bytes(raw, policy=policy.default)


@hypothesis_settings(max_examples=200, deadline=None)
@given(body=ANY_TEXT, subject=ANY_TEXT, name=ANY_TEXT)
@example(body="From here\n.\n..\nend  \n\n", subject="=?utf-8?q?not_encoded?=", name="")
@example(body="x" * 2_000 + "\n" + "é" * 500, subject="00000000¡¡¡¡¡ࠀ𐀀𐀀𐀀𐀀𐀀𐀀0", name='"quoted" <evil@x>')
def test_every_text_comes_back_as_it_went_in(body: str, subject: str, name: str) -> None:
    try:
        body, subject = clean_body(body), clean_subject(subject)
    except InvalidValue:
        return
    raw = compose(letter(text=body, subject=subject, sender_name=name))
    mail = read(raw)
    assert text_of(mail) == body
    assert str(make_header(decode_header(message_from_bytes(raw)["subject"]))) == subject
    assert {key.lower() for key in mail} == FIELDS
    assert [a.addr_spec for a in mail["from"].addresses] == ["crm@firm.example"]
    assert raw.isascii()
    for line in raw.partition(b"\r\n\r\n")[2].split(b"\r\n"):
        assert len(line) <= 76
        assert not line.startswith((b".", b"From "))
        assert not line.endswith((b" ", b"\t"))
    assert b"\n" not in raw.replace(b"\r\n", b"")


def test_the_same_letter_gives_the_same_bytes() -> None:
    assert compose(letter()) == compose(letter())


def test_a_line_break_in_a_subject_cannot_start_a_header() -> None:
    mail = read(compose(letter(subject=clean_subject("Hello\r\nBcc: everybody@example.com"))))
    assert mail["bcc"] is None
    assert mail["subject"] == "Hello Bcc: everybody@example.com"


@pytest.mark.parametrize("field", ["subject", "message_id", "sender", "to", "reply_to"])
def test_composing_refuses_a_line_break_that_was_not_cleaned(field: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        compose(letter(**{field: "a@example.com\r\nBcc: everybody@example.com"}))


def test_a_line_break_in_a_name_cannot_start_a_header() -> None:
    mail = read(compose(letter(sender_name="Ann\r\nBcc: everybody@example.com")))
    assert mail["bcc"] is None
    assert mail["from"].addresses[0].display_name == "Ann Bcc: everybody@example.com"


@pytest.mark.parametrize("name", ["Ev\x01il", "\x85Evil\x7f", "\u202eEvil\u200b", "E\u2028vil"])
def test_a_name_goes_out_without_characters_that_nobody_sees(name: str) -> None:
    mail = read(compose(letter(sender_name=name)))
    assert mail["from"].addresses[0].display_name.replace(" ", "") == "Evil"


def test_a_letter_that_cannot_be_written_is_refused_and_nothing_breaks() -> None:
    assert deliver(letter(to="a@example.com\r\nBcc: b@example.com")).outcome == Outcome.REFUSED


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nobody",
        "a@b@example.com",
        "a@example.com, b@example.com",
        "a@example.com\nBcc: b@example.com",
        "Ann <a@example.com>",
        "a@example.com\0",
        "grün@example.com",
        "a b@example.com",
        '"a b"@example.com',
    ],
)
def test_an_address_that_is_not_one_is_refused(address: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        clean_address(address)
    assert refused.value.field == "to_address"


def test_an_international_domain_is_written_in_ascii() -> None:
    assert clean_address("info@gärtnerei.example") == "info@xn--grtnerei-0za.example"


@pytest.mark.parametrize(
    ("text", "field"), [("\ud800", "body"), ("a\0b", "body"), ("a\x1b[31m", "body"), (" \n ", "body")]
)
def test_a_body_that_cannot_be_sent_is_refused(text: str, field: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        clean_body(text)
    assert refused.value.field == field


def test_a_long_subject_is_refused() -> None:
    with pytest.raises(InvalidValue):
        clean_subject("x" * 201)
