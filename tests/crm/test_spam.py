"""What speaks for spam, and what does not."""

import pytest

from crm.actions.spam import Signals, is_disposable, judge_spam, looks_like_another

HONEST = {
    "name": "Zoë O'Neill",
    "email": "zoe@gärten.example",
    "message": "Dear all,\nplease quote.\nSubject: a pond\nSee https://example.org/plan",
}


def test_an_honest_inquiry_with_one_link_is_none():
    verdict = judge_spam(HONEST, Signals(filled_in_s=31))
    assert not verdict.is_spam
    assert verdict.score == 20


@pytest.mark.parametrize(
    ("change", "signals", "word"),
    [
        ({}, Signals(honeypot=True), "people do not see"),
        ({}, Signals(filled_in_s=0.4), "faster"),
        ({"email": "a@b.example\r\nBcc: all@c.example"}, Signals(), "header"),
        ({"name": "A\nContent-Type: text/html"}, Signals(), "header"),
        ({"message": "hi\r\nbcc: all@c.example"}, Signals(), "header"),
        ({"email": "x@mailinator.com"}, Signals(), "throw-away"),
        ({"email": "x@inbox.mailinator.com"}, Signals(), "throw-away"),
        ({"email": "x@pаypal.com"}, Signals(), "imitates"),
        ({"email": "x@xn--pypal-4ve.com"}, Signals(), "imitates"),
        ({"message": "www.a.example www.b.example www.c.example"}, Signals(), "links: 3"),
        ({"name": "http://win.example"}, Signals(), "name is a link"),
    ],
)
def test_each_mark_of_spam_is_named(change, signals, word):
    verdict = judge_spam({**HONEST, **change}, signals)
    assert verdict.is_spam
    assert any(word in reason for reason in verdict.reasons)


def test_payloads_of_any_shape_are_judged():
    assert judge_spam({"name": ["a"], "email": None, "custom": {"x": 1}}).score == 0


@pytest.mark.parametrize("domain", ["gmail.com", "example", "пример.рф", "müller.de", ""])
def test_plain_domains_are_neither_disposable_nor_imitations(domain):
    assert not is_disposable(domain)
    assert not looks_like_another(domain)
