"""Finding leads by what people type: parts of names, companies, addresses and phone numbers."""

import re
from typing import TypeVar

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BooleanField, Func, Q, QuerySet

from crm.actions.identity import fold
from crm.models import Lead

CANDIDATES = 2_000  # taken before any ordering, so that a common fragment costs no more than a rare one
SHORTEST = 2  # characters
MOST_WORDS = 8
_PHONE = re.compile(r"\+?[\d\s()./-]{4,}")
Leads = TypeVar("Leads", bound=QuerySet[Lead])


class _IsAmong(Func):
    """`id = ANY(ARRAY(subquery))`: as `IN (subquery)`, but always by the primary key. For IN the planner may
    read the whole table, because it does not know how few candidates there are."""

    template = "(%(expressions)s))"
    arg_joiner = " = ANY("
    output_field = BooleanField()


def search_words(text: str) -> list[str]:
    """What must all be found: folded words, or the digits of a phone number without its trunk zero."""
    text = text.replace("\0", "").strip()
    if _PHONE.fullmatch(text):
        digits = re.sub(r"\D", "", text).lstrip("0")
        return [digits] if digits else []
    return list(dict.fromkeys(fold(text).split()))[:MOST_WORDS]


def matching(leads: Leads, text: str) -> Leads:
    """Those of `leads` whose search text holds every word, among the first CANDIDATES that the index gives.

    A word of three letters or more is found anywhere; a shorter one, which has no trigram of its own, where a
    word begins. Apply it last: the limit must count only rows that `leads` allows.
    """
    words = search_words(text)
    if sum(map(len, words)) < SHORTEST:
        return leads.none()
    found = leads.order_by()
    for word in words:
        anywhere = Q(search_text__contains=word)
        at_start = Q(search_text__startswith=word) | Q(search_text__contains=f" {word}")
        found = found.filter(anywhere if len(word) >= 3 else at_start)
    return leads.filter(_IsAmong("pk", ArraySubquery(found.values("pk")[:CANDIDATES])))
