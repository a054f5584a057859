"""Setting up the public forms that bring inquiries."""

import re
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction
from django.utils.translation import gettext as _

from crm.actions.audit import audit
from crm.actions.base import check_version
from crm.actions.set_up import change_record, check_record
from crm.errors import InvalidValue
from crm.models import Actor, CaptureForm, CustomField, OptIn
from crm.permissions import Verb, require

FORM_FIELDS = {
    "source",
    "name",
    "slug",
    "fields",
    "intro",
    "button",
    "thanks",
    "consent_text",
    "allowed_origins",
    "opt_in",
    "locale",
    "is_active",
}
ASKED = ("name", "company", "title", "email", "phone", "country", "interest", "message", "physical_address")
CUSTOM = "custom:"
FIELDS_AT_MOST, ORIGINS_AT_MOST = 20, 20
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_LOCAL_HOSTS = {"localhost", "127.0.0.1"}


@transaction.atomic
def save_capture_form(
    form_id: int | None, *, by: Actor, version: int | None = None, **changes: Any
) -> CaptureForm:
    """Make or change a form. A changed consent text gets the next version; consents name the one they saw.

    Raises PermissionRefused, VersionConflict, InvalidValue naming the field.
    """
    require(by, Verb.SET_UP)
    if unknown := sorted(set(changes) - FORM_FIELDS):
        raise InvalidValue(_("There is no field “%s” to change.") % unknown[0], field=unknown[0])
    if form_id is None:
        form = CaptureForm()
    else:
        form = CaptureForm.objects.select_for_update(of=("self",)).get(pk=form_id)
        check_version(form, version)
    if "allowed_origins" in changes:
        changes["allowed_origins"] = checked_origins(changes["allowed_origins"])
    asked = changes.get("fields", form.fields)
    _check_fields(asked)
    _check_reachable(
        asked,
        has_consent=bool(changes.get("consent_text", form.consent_text)),
        opt_in=changes.get("opt_in", form.opt_in),
    )
    if not _LOCALE.fullmatch(changes.get("locale", form.locale)):
        raise InvalidValue(_("Write the language as a code, such as en or pt-BR."), field="locale")
    if form_id is None:
        for name, value in changes.items():
            setattr(form, name, value)
        check_record(form)
        form.save()
        audit("form.created", "Made a capture form", by=by, target=form)
        return form
    if changes.get("consent_text", form.consent_text) != form.consent_text:
        changes["consent_version"] = form.consent_version + 1
    changed = sorted(name for name, value in changes.items() if getattr(form, name) != value)
    change_record(form, changes)
    if changed:
        audit("form.changed", "Changed a capture form", by=by, target=form, fields=changed)
    return form


def checked_origins(origins: Any) -> list[str]:
    """Each as a browser writes it in the Origin header. Raises InvalidValue."""
    if not isinstance(origins, list) or len(origins) > ORIGINS_AT_MOST:
        raise InvalidValue(
            _("Write a list of at most %d sites, such as [“https://www.example.com”].") % ORIGINS_AT_MOST,
            field="allowed_origins",
        )
    return list(dict.fromkeys(_checked_origin(origin) for origin in origins))


def _checked_origin(origin: Any) -> str:
    wrong = InvalidValue(
        _("“%s” is not a site; write it as https://www.example.com, without a path.") % str(origin)[:80],
        field="allowed_origins",
    )
    try:
        parts = urlsplit(origin.strip().lower().rstrip("/"))
        host, port = parts.hostname, parts.port
        host = host.encode("idna").decode() if host else ""
    except (AttributeError, ValueError, UnicodeError):
        raise wrong from None
    is_plain = not (parts.path or parts.query or parts.fragment or parts.username or parts.password)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and host in _LOCAL_HOSTS)
    if not (is_plain and is_safe and re.fullmatch(r"[a-z0-9.-]+", host)):
        raise wrong
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


def _check_fields(asked: Any) -> None:
    wrong = lambda why: InvalidValue(why, field="fields")
    if not isinstance(asked, list) or not 1 <= len(asked) <= FIELDS_AT_MOST:
        raise wrong(_("Ask for 1 to %d fields.") % FIELDS_AT_MOST)
    own = {
        f"{CUSTOM}{key}" for key in CustomField.objects.filter(target="lead").values_list("key", flat=True)
    }
    names = []
    for one in asked:
        if not isinstance(one, dict) or set(one) - {"name", "label", "is_required"}:
            raise wrong(_('Write each field as {"name": "email", "label": "E-mail", "is_required": true}.'))
        name, label = one.get("name"), one.get("label")
        if name not in ASKED and name not in own:
            known = ", ".join([*ASKED, *sorted(own)])
            raise wrong(
                _("There is no field “%(name)s” to ask for. There are: %(known)s.")
                % {"name": str(name)[:60], "known": known}
            )
        if not isinstance(label, str) or not 1 <= len(label.strip()) <= 120:
            raise wrong(_("Give each field a label of at most %d characters.") % 120)
        if not isinstance(one.get("is_required", False), bool):
            raise wrong(_("“is_required” is true or false."))
        names.append(name)
    if len(set(names)) != len(names):
        raise wrong(_("Ask for each field once."))
    if not {"name", "email", "phone"} & set(names):
        raise wrong(_("Ask for a name, an e-mail address or a phone number."))


def _check_reachable(asked: list[dict[str, Any]], *, has_consent: bool, opt_in: str) -> None:
    """A consent belongs to an address, and a link has to go somewhere."""
    is_certain = any(one["name"] == "email" and one.get("is_required") for one in asked)
    if (has_consent or opt_in == OptIn.DOUBLE) and not is_certain:
        raise InvalidValue(
            _("A consent or a mailed link needs the e-mail address as a required field."), field="fields"
        )
