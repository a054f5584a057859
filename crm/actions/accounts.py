"""Accounts and contacts: the organisations and the people that stay, whatever becomes of a lead."""

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db import transaction
from django.utils.translation import gettext as _

from crm import events
from crm.actions.base import check_version, offer_undo, record_for_change, tell, undoable
from crm.actions.card_search import find_cards_anew
from crm.actions.custom_fields import merged_custom, refuse_missing
from crm.actions.identity import FREE_MAIL, fold, identify, lock_identities, normalise_email, normalise_phone
from crm.actions.intake import checked_country
from crm.actions.ways import keys_of_ways, note_ways, put_ways_back
from crm.errors import InvalidValue, PermissionRefused
from crm.models import (
    Account,
    Actor,
    Contact,
    ContactPoint,
    KeyKind,
    Lifecycle,
    MatchKey,
    PointKind,
    SizeBand,
    Team,
    Undo,
    User,
)
from crm.permissions import Reach, Verb, reach, require

ACCOUNT_FIELDS = ("name", "domain", "industry", "size_band", "website", "address", "country", "custom")
POINTS = ("email", "phone")
CONTACT_FIELDS = (
    *("full_name", "title", "account", "locale", "time_zone", "country"),
    *("do_not_contact", "lifecycle", "custom"),
    *POINTS,
)
NAMES = {Account: "name", Contact: "full_name"}
Identified = TypeVar("Identified", Account, Contact)


@transaction.atomic
def create_account(
    *,
    by: Actor,
    name: str,
    owner: User | None = None,
    team: Team | None = None,
    is_asked: bool = True,
    **values: Any,
) -> Account:
    """A new organisation; `values` are of ACCOUNT_FIELDS. It is the maker's own unless an owner is given.
    A person fills in the own fields that are needed, unless `is_asked` says that nobody asked for them.

    Raises PermissionRefused, InvalidValue naming the field. Publishes AccountChanged.
    """
    require(by, Verb.CREATE)
    account = Account(owner=owner or by.user, team=team or _team_of(owner or by.user))
    _refuse_foreign_hands(by, account)
    _set(account, _checked_values(account, {"name": name, **values}, by=by))
    if is_asked and by.user is not None:
        refuse_missing(account.custom, "account")
    _hold_keys(_keys(account))
    account.save()
    _identify(account)
    tell(account, "account.created", _("account “%s” made") % account.name, by=by)
    events.publish(events.AccountChanged(account.pk))
    return account


@transaction.atomic
def create_contact(
    *,
    by: Actor,
    full_name: str,
    owner: User | None = None,
    team: Team | None = None,
    is_asked: bool = True,
    **values: Any,
) -> Contact:
    """A new person; `values` are of CONTACT_FIELDS. The maker's own unless an owner is given.
    `is_asked`: as for `create_account`.

    Raises PermissionRefused, InvalidValue naming the field. Publishes ContactChanged.
    """
    require(by, Verb.CREATE)
    contact = Contact(owner=owner or by.user, team=team or _team_of(owner or by.user))
    _refuse_foreign_hands(by, contact)
    checked = _checked_values(contact, {"full_name": full_name, **values}, by=by)
    points = {name: checked.pop(name, "") for name in POINTS}
    _set(contact, checked)
    if is_asked and by.user is not None:
        refuse_missing(contact.custom, "contact")
    _hold_keys(_keys(contact, points))
    contact.save()
    for kind, raw in points.items():
        _replace_point(contact, PointKind(kind), raw)
    _identify(contact)
    tell(contact, "contact.created", _("contact “%s” made") % contact.full_name, by=by)
    events.publish(events.ContactChanged(contact.pk))
    return contact


def update_account(account_id: int, *, by: Actor, version: int | None = None, **changes: Any) -> Account:
    """Change ACCOUNT_FIELDS; `custom` is merged key by key. Undoable.

    Raises Account.DoesNotExist, PermissionRefused, VersionConflict, InvalidValue. Publishes AccountChanged.
    """
    return _update(Account, account_id, changes, by=by, version=version)


def update_contact(contact_id: int, *, by: Actor, version: int | None = None, **changes: Any) -> Contact:
    """Change CONTACT_FIELDS; `custom` is merged key by key, e-mail and phone are the primary ones. Undoable.

    By hand `lifecycle` goes from customer to churned and back; the rest of it follows from opportunities.
    Raises Contact.DoesNotExist, PermissionRefused, VersionConflict, InvalidValue. Publishes ContactChanged.
    """
    return _update(Contact, contact_id, changes, by=by, version=version)


@transaction.atomic
def _update(
    model: type[Identified], record_id: int, changes: dict[str, Any], *, by: Actor, version: int | None
) -> Identified:
    seen: Any = model._default_manager.visible_to(by).get(pk=record_id)  # type: ignore[attr-defined]
    texts: dict[str, str] = {name: value for name, value in changes.items() if isinstance(value, str)}
    _set(seen, {name: texts[name] for name in {"full_name", "country"} & set(texts)})
    _hold_keys([*_keys(seen, texts, quietly=True), *seen.match_keys.values_list("kind", "value")])
    if isinstance(changes.get("account"), Account):  # locks go from the account to the contact
        Account.objects.select_for_update(no_key=True).filter(pk=changes["account"].pk).first()
    record: Any = record_for_change(model, record_id, by=by)
    check_version(record, version)
    values = _checked_values(record, changes, by=by)
    before = {name: _current(record, name) for name in values}
    changed = {name: value for name, value in values.items() if value != before[name]}
    if not changed:
        return record
    ways: dict[str, Any] = note_ways(record)
    _write(record, changed)
    what, name = str(record._meta.model_name), str(record)
    tell(
        record,
        f"{what}.changed",
        _("changed: %s") % ", ".join(sorted(changed)),
        by=by,
        fields=sorted(changed),
    )
    kept = {name: before[name].pk if isinstance(before[name], Account) else before[name] for name in changed}
    offer_undo(
        f"update_{what}",
        by=by,
        label=_("Changed %s") % name,
        before={
            "id": record.pk,
            "values": kept,
            "ways": ways,
            "keys": [*keys_of_ways(ways), *record.match_keys.values_list("kind", "value")],
        },
        rows=[record],
    )
    _publish(record, tuple(sorted(changed)))
    return record


def _undo_update(model: type[Account] | type[Contact], row: Undo, by: Actor) -> None:
    record: Any = record_for_change(model, row.before["id"], by=by)  # type: ignore[type-var]
    values = dict(row.before["values"])
    if values.get("account"):
        values["account"] = Account.objects.filter(pk=values["account"]).first()
    own = {name: value for name, value in values.items() if name not in POINTS}
    _set(record, own)
    put_ways_back(record, row.before["ways"])
    record.save_changed(*own, "search_text")
    if NAMES[type(record)] in own:
        find_cards_anew(record)
    kind = f"{record._meta.model_name}.changed"
    tell(record, kind, _("took back the last change"), by=by, fields=sorted(values))
    _publish(record, tuple(values))


@undoable("update_account")
def _undo_account(row: Undo, by: Actor) -> None:
    _undo_update(Account, row, by)


@undoable("update_contact")
def _undo_contact(row: Undo, by: Actor) -> None:
    _undo_update(Contact, row, by)


def reidentify_contact(contact: Contact, *, keys: Iterable[tuple[str, str]] = ()) -> None:
    """Rebuild what a stored contact is found by, `keys` on top; the caller holds their locks and the row."""
    _identify(contact, more=keys)


def keys_of(record: Account | Contact, values: dict[str, Any]) -> list[tuple[str, str]]:
    """What a record of these values would be recognised by; wrong values give none."""
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    if isinstance(record, Account):
        domain = texts.get("domain", "").strip().lower()
        return [(KeyKind.DOMAIN, domain)] if domain else []
    contact = Contact(full_name=texts.get("full_name", ""), country=texts.get("country", record.country))
    return _keys(contact, {name: texts.get(name, "") for name in POINTS}, quietly=True)


def _publish(record: Account | Contact, fields: tuple[str, ...]) -> None:
    if isinstance(record, Account):
        events.publish(events.AccountChanged(record.pk, fields=fields))
    else:
        events.publish(events.ContactChanged(record.pk, fields=fields))


def _team_of(user: User | None) -> Team | None:
    return Team.objects.filter(members__user=user).order_by("pk").first() if user else None


def _refuse_foreign_hands(by: Actor, record: Account | Contact) -> None:
    """A rep makes their own; a manager makes for their teams' people."""
    allowed, owner = reach(by, Verb.CREATE), record.owner
    if owner and not owner.is_active:
        raise InvalidValue(_("%s no longer works here.") % owner, field="owner")
    if allowed == Reach.ALL or (owner is not None and owner == by.user):
        return
    if allowed == Reach.OWN:
        raise PermissionRefused(_("You may make records of your own only."), field="owner")
    if record.team is None or not record.team.members.filter(user=by.user).exists():
        raise PermissionRefused(_("You may make records for people of your teams only."), field="owner")


def _checked_values(record: Account | Contact, values: dict[str, Any], *, by: Actor) -> dict[str, Any]:
    names = ACCOUNT_FIELDS if isinstance(record, Account) else CONTACT_FIELDS
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise InvalidValue(_("There is no field “%s” to change.") % unknown[0][:60], field=unknown[0])
    checked = {name: _checked(record, name, value, by=by) for name, value in values.items()}
    if checked.get("phone"):  # read as a number of the country that comes with it
        normalise_phone(checked["phone"], checked.get("country", record.country))
    return checked


def _checked(record: Account | Contact, name: str, value: Any, *, by: Actor) -> Any:
    match name:
        case "custom":
            what = str(record._meta.model_name)
            return merged_custom(record.custom, value, target=what, is_asked=by.user is not None)
        case "do_not_contact":
            if not isinstance(value, bool):
                raise InvalidValue(_("Say yes or no."), field=name)
            return value
        case "account":
            if value is not None and not Account.objects.visible_to(by).filter(pk=value.pk).exists():
                raise InvalidValue(_("There is no such account, or you may not see it."), field=name)
            return value
        case "lifecycle":
            return _checked_lifecycle(record, value)
    return _checked_text(record, name, "" if value is None else value)


def _checked_lifecycle(record: Any, value: Any) -> str:
    by_hand = {Lifecycle.CUSTOMER, Lifecycle.CHURNED}
    if value != record.lifecycle and not (value in by_hand and record.lifecycle in by_hand):
        raise InvalidValue(
            _("Only a customer can be marked as lost, and back; the rest follows from opportunities."),
            field="lifecycle",
        )
    return str(value)


def _checked_text(record: Account | Contact, name: str, value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise InvalidValue(_("Write text here."), field=name)
    text = value.strip() if name == "address" else " ".join(value.split())
    most = (
        {"email": 320, "phone": 60}.get(name) or getattr(record._meta.get_field(name), "max_length", 0) or 200
    )
    if len(text) > most:
        raise InvalidValue(_("Use at most %d characters.") % most, field=name)
    if name == NAMES[type(record)] and not text:
        raise InvalidValue(_("A name is needed."), field=name)
    if name == "country":
        return checked_country(text)
    if name == "size_band" and text and text not in SizeBand.values:
        raise InvalidValue(_("Choose one of: %s.") % ", ".join(SizeBand.values), field=name)
    if name == "domain" and text:
        return _checked_domain(text)
    if name == "website" and text and not text.lower().startswith(("http://", "https://")):
        raise InvalidValue(_("Write the address with https:// in front."), field=name)
    if name == "email" and text:
        normalise_email(text)
    return text


def _checked_domain(text: str) -> str:
    try:
        domain = normalise_email(f"x@{text}")[0].partition("@")[2]
    except InvalidValue:
        domain = ""
    if not domain or domain in FREE_MAIL:
        raise InvalidValue(
            _("“%s” is not a company's domain; it should look like example.com.") % text[:60], field="domain"
        )
    return domain


def _current(record: Any, name: str) -> Any:
    if name not in POINTS:
        return getattr(record, name)
    point = record.contact_points.filter(kind=name, is_primary=True).first()
    return point.raw if point else ""


def _set(record: Account | Contact, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(record, name, value)


def _write(record: Any, values: dict[str, Any]) -> None:
    own = [name for name in values if name not in POINTS]
    _set(record, {name: values[name] for name in own})
    for kind in POINTS:
        if kind in values:
            _replace_point(record, PointKind(kind), values[kind])
    if {"name", "full_name", "domain", "account", *POINTS} & set(values):
        _identify(record)
        own.append("search_text")
    record.save_changed(*own)
    if NAMES[type(record)] in values:
        find_cards_anew(record)


def _replace_point(contact: Contact, kind: PointKind, raw: str) -> None:
    contact.contact_points.filter(kind=kind, is_primary=True).delete()
    if raw:
        norm = normalise_email(raw)[0] if kind == PointKind.EMAIL else normalise_phone(raw, contact.country)
        ContactPoint.objects.update_or_create(
            contact=contact, kind=kind, norm=norm, defaults={"raw": raw, "is_primary": True}
        )


def _keys(
    record: Account | Contact, points: dict[str, str] | None = None, *, quietly: bool = False
) -> list[tuple[str, str]]:
    """The keys of a record with these new points. `quietly`: a wrong point is refused later, by name."""
    if isinstance(record, Account):
        return [(KeyKind.DOMAIN, record.domain)] if record.domain else []
    try:
        email, phone = (points or {}).get("email", ""), (points or {}).get("phone", "")
        found = identify(name=record.full_name, country=record.country, email=email, phone=phone)
    except InvalidValue:
        if not quietly:
            raise
        return []
    return [key for key in found.keys if key[0] != KeyKind.DOMAIN]


def _hold_keys(keys: Iterable[tuple[str, str]]) -> None:
    lock_identities(sorted(set(keys)))


def _identify(record: Any, *, more: Iterable[tuple[str, str]] = ()) -> None:
    """Match keys and search text from what is stored. Saves the text of a stored record without a version."""
    if isinstance(record, Account):
        keys, words = _keys(record), f"{fold(record.name)} {record.domain}".split()
    else:
        company = record.account.name if record.account else ""
        keys, words = [], fold(record.full_name).split()
        for point in record.contact_points.exclude(kind=PointKind.URL).order_by("id"):
            reach_by: Any = {str(point.kind): point.norm}
            found = identify(name=record.full_name, company=company, **reach_by)
            keys += [key for key in found.keys if key[0] != KeyKind.DOMAIN]
            words += found.search_text.split()
    keys = list(dict.fromkeys([*keys, *more]))
    record.match_keys.exclude(kind=KeyKind.EXTERNAL).delete()
    MatchKey.objects.bulk_create(
        [MatchKey(**{str(record._meta.model_name): record}, kind=kind, value=value) for kind, value in keys],
        ignore_conflicts=True,
    )
    record.search_text = " ".join(dict.fromkeys(words))
    record.save(update_fields=["search_text"])
