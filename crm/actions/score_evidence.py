"""What the rules look at, read for many leads at once."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from django.db.models import F, Window
from django.db.models.functions import Left, RowNumber

from crm.actions.score_rules import Evidence, Text
from crm.models import ContactPoint, Direction, FactorSource, Inquiry, KeyKind, Lead, MatchKey, Message
from crm.plaintext import normalised

NEWEST_TEXTS = 5  # inquiries and messages each that rules read
RAW_TEXT = 4_000  # characters of each


def evidence_of(lead_ids: Sequence[int]) -> Iterable[Evidence]:
    """What the rules look at, for many leads. Five queries."""
    leads = Lead.objects.live().filter(pk__in=lead_ids).select_related("source").in_bulk()
    points: dict[int, set[str]] = defaultdict(set)
    for lead_id, kind in ContactPoint.objects.filter(lead__in=leads).values_list("lead", "kind"):
        points[lead_id].add(kind)
    with_domain = set(
        MatchKey.objects.filter(lead__in=leads, kind=KeyKind.DOMAIN).values_list("lead", flat=True)
    )
    inquiries = _newest(Inquiry.objects.genuine().filter(lead__in=leads), "message", "received_at")
    messages = _newest(Message.objects.filter(lead__in=leads, direction=Direction.IN), "text", "occurred_at")
    for lead_id, lead in leads.items():
        asked, replied = inquiries.get(lead_id, []), messages.get(lead_id, [])
        texts = [(at, Text(FactorSource.INQUIRY, pk, normalised(text))) for pk, at, text in asked]
        texts += [(at, Text(FactorSource.MESSAGE, pk, normalised(text))) for pk, at, text in replied]
        texts.sort(key=lambda dated: dated[0], reverse=True)
        yield Evidence(
            lead=lead,
            reached_by=frozenset(points[lead_id]),
            has_company_mail=lead_id in with_domain,
            texts=[text for _at, text in texts if text.text],
            inquiries=len(asked),
            replies=len(replied),
            last_heard_at=max((at for at, _text in texts), default=lead.last_inbound_at),
        )


def _newest(rows: object, text: str, at: str) -> dict[int, list[tuple]]:
    """lead id -> its newest (id, time, text), newest first."""
    place = Window(RowNumber(), partition_by=F("lead_id"), order_by=(F(at).desc(), F("pk").desc()))
    ranked = rows.annotate(place=place).filter(place__lte=NEWEST_TEXTS).order_by("lead_id", "place")  # type: ignore[attr-defined]
    found: dict[int, list[tuple]] = defaultdict(list)
    for lead_id, *row in ranked.values_list("lead_id", "pk", at, Left(text, RAW_TEXT)):
        found[lead_id].append(tuple(row))
    return found
