"""JSON in and out: what we read is checked before anybody looks at it, what we write is RFC 8259 by orjson.

The parser refuses what other readers of the same bytes could understand differently (RFC 8259 section 4:
duplicate names), what PostgreSQL cannot store (NUL, lone surrogates) and what costs more than it is worth
(depth, huge numbers).
"""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import IO, Any, NoReturn

import orjson
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType, ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

MAX_DEPTH = 32
MAX_NUMBER_LENGTH = 30  # characters; a 64-bit integer has 19, our largest amount 15


class BodyTooLarge(APIException):
    """The body is longer than DATA_UPLOAD_MAX_MEMORY_SIZE bytes."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "body_too_large"

    def __init__(self) -> None:
        super().__init__(
            _("The body may hold at most %(limit)d bytes.") % {"limit": settings.DATA_UPLOAD_MAX_MEMORY_SIZE}
        )


class StrictJSONParser(BaseParser):
    """UTF-8 JSON. Refuses with 415 (media type, charset, coding), 413 (length) or 400, naming the field."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        request = (parser_context or {})["request"]
        refuse_other_charsets(media_type or "")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UnsupportedMediaType(media_type or "", detail=_("Compressed bodies are not accepted."))
        return parse_strictly(read_capped(stream, request.META.get("CONTENT_LENGTH")))


def refuse_other_charsets(content_type: str) -> None:
    """JSON is UTF-8 (RFC 8259 section 8.1); another charset parameter is a misunderstanding."""
    for parameter in content_type.split(";")[1:]:
        name, _equals, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip(' "').lower() not in {"utf-8", "utf8"}:
            raise UnsupportedMediaType(content_type, detail=_("JSON must be sent as UTF-8."))


def read_capped(stream: IO[bytes], content_length: str | None) -> bytes:
    """The whole body, never more than the limit in memory."""
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if content_length and content_length.isdigit() and int(content_length) > limit:
        raise BodyTooLarge
    raw = stream.read(limit + 1)
    if len(raw) > limit:
        raise BodyTooLarge
    return raw


def parse_strictly(raw: bytes) -> Any:
    """The value in these bytes. Raises ParseError, or ValidationError naming the field that is wrong."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError(_("The body is not UTF-8.")) from error
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object_without_duplicates,
            parse_int=_short_integer,
            parse_float=_short_float,
            parse_constant=_no_constant,
        )
    except RecursionError as error:
        raise ParseError(_too_deep()) from error
    except json.JSONDecodeError as error:
        raise ParseError(
            _("The body is not JSON: line %(line)d, column %(column)d.")
            % {"line": error.lineno, "column": error.colno}
        ) from error
    for path, reason in _faults(value):
        raise ValidationError({path or "non_field_errors": [reason]})
    return value


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _value in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValidationError({_printable(twice): [_("This name appears twice in one object.")]})
    return result


def _short_integer(digits: str) -> int:
    _refuse_long(digits)
    return int(digits)


def _short_float(digits: str) -> float:
    _refuse_long(digits)
    value = float(digits)
    if value in {float("inf"), float("-inf")}:
        raise ParseError(_("A number is too large."))
    return value


def _refuse_long(digits: str) -> None:
    if len(digits) > MAX_NUMBER_LENGTH:
        raise ParseError(_("A number has more than %(limit)d digits.") % {"limit": MAX_NUMBER_LENGTH})


def _no_constant(name: str) -> NoReturn:
    raise ParseError(_("%(name)s is not JSON.") % {"name": name})


def _too_deep() -> str:
    return _("The body is nested deeper than %(limit)d levels.") % {"limit": MAX_DEPTH}


def _faults(value: Any) -> Iterator[tuple[str, str]]:
    """(path, reason) of what a text column or jsonb cannot hold, and of too deep nesting."""
    todo: list[tuple[str, Any, int]] = [("", value, 1)]
    while todo:
        path, item, depth = todo.pop()
        if isinstance(item, str):
            if reason := text_fault(item):
                yield path, reason
        elif isinstance(item, dict | list):
            if depth > MAX_DEPTH:
                raise ParseError(_too_deep())
            if isinstance(item, list):
                todo.extend((f"{path}[{i}]", child, depth + 1) for i, child in enumerate(item))
                continue
            for name, child in item.items():
                where = f"{path}.{_printable(name)}" if path else _printable(name)
                if reason := text_fault(name):
                    yield where, reason
                todo.append((where, child, depth + 1))


def text_fault(text: str) -> str:
    """Why PostgreSQL could not store this text, or nothing."""
    if "\0" in text:
        return _("This text holds a NUL character.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return _("This text holds half of a surrogate pair.")
    return ""


def _printable(name: str) -> str:
    return name[:100].replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


class OrjsonRenderer(BaseRenderer):
    """Compact UTF-8 JSON. Bytes pass through unchanged: a view that built its JSON is not encoded twice."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if data is None:
            return b""
        return data if isinstance(data, bytes) else dumps(data)


def dumps(data: Any) -> bytes:
    """JSON bytes; times in UTC with a Z (RFC 3339), decimals as strings so that no cent is rounded."""
    return orjson.dumps(data, default=_plain, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal | Promise):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
