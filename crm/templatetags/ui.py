"""The small parts every screen repeats. They take text and numbers, never models."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any
from zlib import crc32

from django import template
from django.template.loader import get_template
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from crm import clock
from crm.models.leads import band_of
from crm.web import words

register = template.Library()
_TONES = "abcde"


@cache
def _icons() -> str:
    return static("img/icons.svg")


@register.simple_tag
@cache
def icon(name: str, extra: str = "") -> SafeString:
    """One icon of the sprite, always beside a word or inside a labelled button."""
    return format_html(
        '<svg class="i {}" aria-hidden="true"><use href="{}#{}"/></svg>', extra, _icons(), name
    )


@register.simple_tag
def score(value: int | None, size: str = "") -> SafeString:
    """The ring with its number; dashed while not scored. `size` is "", "sm" or "xl"."""
    return _score(value, size, get_language() or "")


@lru_cache(maxsize=1_024)
def _score(value: int | None, size: str, language: str) -> SafeString:
    if value is None:
        return format_html(
            '<span class="score none {}" role="img" aria-label="{}"><span>–</span></span>',
            size,
            _("Not scored yet"),
        )
    band = band_of(value)
    name = {"hot": _("hot"), "warm": _("warm"), "cool": _("cool")}[band]
    label = _("Score %(value)d of 100, %(band)s") % {"value": value, "band": name}
    return format_html(
        '<span class="score {} {} v-{}" role="img" aria-label="{}" title="{} · {}"><span>{}</span></span>',
        band,
        size,
        value,
        label,
        value,
        name,
        value,
    )


@register.simple_tag(takes_context=True)
def constant_part(context: dict[str, Any], template_name: str) -> SafeString:
    """A piece that is the same for everybody who reads this language on this kind of keyboard."""
    request = context.get("request")
    is_mac = request is not None and "Mac" in request.headers.get("User-Agent", "")
    return _constant_part(template_name, get_language() or "", is_mac)


@lru_cache(maxsize=64)
def _constant_part(template_name: str, language: str, is_mac: bool) -> SafeString:
    return SafeString(get_template(template_name).render({"is_mac": is_mac}))


MOST_TAGS = 3
_TAG_TONES = {"green": "ok", "blue": "info", "amber": "warn", "red": "bad"}
_PICK = (
    '<td class="pick"><label><input type="checkbox" class="check" name="lead" value="{}" aria-label="{}">'
    "</label></td>"
)


# One cell of the list of leads for each column: its HTML, and what goes into it.
_CELLS: dict[str, tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]] = {
    "score": ('<td class="c">{}</td>', lambda row: (_score(row["score"], "sm", get_language() or ""),)),
    "company": ('<td class="hide-sm">{}</td>', lambda row: (row["company"],)),
    "status": (
        '<td class="hide-sm"><span class="stage {}">{}</span></td>',
        lambda row: (row["status"], row["status_label"]),
    ),
    "owner": ('<td class="hide-sm">{}</td>', lambda row: (_owner(row["owner"]),)),
    "source": ('<td class="hide-md"><span class="muted">{}</span></td>', lambda row: (row["source"],)),
    "value": ('<td class="r num">{}</td>', lambda row: (row["value"],)),
    "next_step": (
        '<td class="hide-sm {}">{}</td>',
        lambda row: ("dn" if row["is_late"] else "muted", row["step"]),
    ),
    "created": (
        '<td class="r num faint hide-md" title="{}">{}</td>',
        lambda row: (row["came_exact"], row["came"]),
    ),
    "email": ('<td class="hide-sm">{}</td>', lambda row: (row["email"],)),
    "phone": ('<td class="hide-sm num">{}</td>', lambda row: (row["phone"],)),
    "country": ('<td class="hide-md">{}</td>', lambda row: (row["country"],)),
    "tags": ('<td class="hide-sm">{}</td>', lambda row: (_tags(row["tags"]) if row["tags"] else "",)),
}
_NAME_CELL = (
    '<td class="who2"><a class="rowlink" href="{}"><b>{}</b></a><span class="muted co">{}</span>{}</td>'
)


@register.simple_tag
def lead_rows(
    rows: Iterable[Mapping[str, Any]], columns: Iterable[Sequence[Any]], may_pick: bool = False
) -> SafeString:
    """The rows of the list of leads, with boxes to choose them. `columns` begin with their names. One format
    string, because fifty rows of template nodes cost five times as much; every value in it is escaped.
    """
    names, pick = [str(column[0]) for column in columns], _("Select %(name)s")
    has_company, has_tags = "company" in names, "tags" in names

    def named(row: Mapping[str, Any]) -> tuple[Any, ...]:
        company = "" if has_company else row["company"]
        return row["url"], row["name"], company, _tags(row["tags"]) if row["tags"] and not has_tags else ""

    cells = [(_NAME_CELL, named) if name == "name" else _CELLS[name] for name in names]
    parts = [("{}", lambda row: (format_html(_PICK, row["public_id"], pick % {"name": row["name"]}),))]
    parts = [*(parts if may_pick else ()), *cells]  # type: ignore[list-item]
    return format_html_join(
        "",
        f"<tr>{''.join(html for html, _values in parts)}</tr>",
        ([value for _html, values in parts for value in values(row)] for row in rows),
    )


def _tags(tags: Sequence[Mapping[str, str]]) -> SafeString:
    """The first MOST_TAGS tags, and how many more there are."""
    shown = [tag(one["name"], one["colour"]) for one in tags[:MOST_TAGS]]
    if len(tags) > MOST_TAGS:
        names = ", ".join(one["name"] for one in tags[MOST_TAGS:])
        shown.append(format_html('<span class="tag" title="{}">+{}</span>', names, len(tags) - MOST_TAGS))
    return format_html(
        '<span class="tags hide-sm">{}</span>', format_html_join("", "{}", ((one,) for one in shown))
    )


@register.simple_tag
@lru_cache(maxsize=4_096)
def tag(name: str, colour: str) -> SafeString:
    """A word that people stuck on a record, in its colour."""
    return format_html('<span class="tag {}">{}</span>', _TAG_TONES.get(colour, ""), name)


def _owner(name: str) -> SafeString:
    return _person(name) if name else format_html('<span class="faint">{}</span>', "–")


@lru_cache(maxsize=4_096)
def _person(name: str) -> SafeString:
    return format_html('<span class="person">{}<span class="trunc">{}</span></span>', avatar(name), name)


@register.simple_tag
@lru_cache(maxsize=4_096)
def avatar(name: str, size: str = "") -> SafeString:
    """A person's initials on a colour that stays the same for the same name."""
    tone = _TONES[crc32(name.encode()) % len(_TONES)]
    return format_html(
        '<span class="av {} {}" aria-hidden="true">{}</span>', tone, size, words.initials(name)
    )


@register.simple_tag(takes_context=True)
def keys(context: dict[str, Any], key: str, with_command: bool = False, extra: str = "") -> SafeString:
    """A key cap; with_command writes ⌘ for a Mac and Ctrl for everybody else."""
    request = context.get("request")
    is_mac = request is not None and "Mac" in request.headers.get("User-Agent", "")
    text = (f"⌘{key}" if is_mac else f"Ctrl {key}") if with_command else key
    return format_html('<kbd aria-hidden="true" class="{}">{}</kbd>', extra, text)


@register.simple_tag
def percent(part: Decimal | float | None, whole: Decimal | float | None) -> int:
    """part of whole as a whole number from 0 to 100; 0 when there is no whole."""
    if not part or not whole:
        return 0
    return max(0, min(100, round(100 * float(part) / float(whole))))


@register.filter
def usd(value: Decimal | None) -> str:
    return words.usd(value)


@register.filter
def ago(at: datetime | None) -> str:
    return words.ago(at, clock.now())


@register.filter
def day_and_time(at: datetime | None) -> str:
    return words.day_and_time(at, clock.now())


@register.filter
def exact(at: datetime | None) -> str:
    return words.exact(at)


@register.simple_tag
def money(value: Decimal | None, currency: str) -> str:
    return words.money(value, currency)


@register.simple_tag
def points(value: int) -> str:
    """A factor's points with their sign: "+31", "−6"."""
    return f"+{value}" if value >= 0 else f"−{-value}"


@register.filter
def slug(name: str) -> str:
    """A field's name as part of an id: "custom:size" becomes "custom-size"."""
    return name.replace(":", "-")


@register.filter
def words_of(text: str) -> list[str]:
    return text.split()


@register.filter
def value_of(filters: Any, name: str) -> str:
    """One parameter of a list's filters, for a hidden field."""
    return getattr(filters, name, "")
