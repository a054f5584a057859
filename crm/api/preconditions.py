"""ETag and If-Match: nobody overwrites what they have not seen (RFC 9110 section 13.1.1)."""

import re

from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.request import Request

from crm.api.problems import PreconditionRequired

NO_VERSION = -1  # a tag that is none of ours matches no row: the action answers with a VersionConflict
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')


def etag_of(version: int) -> str:
    """The strong entity tag of a versioned record."""
    return f'"{version}"'


def required_version(request: Request) -> int:
    """The version that If-Match names.

    Raises PreconditionRequired (428) without the header and for `*`, which would match whatever is there;
    ParseError (400) for what is not one entity tag. A weak or foreign tag gives NO_VERSION.
    """
    text = request.headers.get("If-Match", "").strip()
    if not text:
        raise PreconditionRequired
    if text == "*":
        raise PreconditionRequired(_("If-Match must name one ETag; * would overwrite anything."))
    tag = _TAG.fullmatch(text)
    if tag is None:
        raise ParseError(_('If-Match must hold one ETag in double quotes, for example "3".'))
    weak, opaque = tag.groups()
    is_ours = not weak and opaque.isascii() and opaque.isdigit() and len(opaque) <= 9
    return int(opaque) if is_ours else NO_VERSION
