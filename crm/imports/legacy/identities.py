"""Their companies and people as our accounts and contacts. Whom a domain or key shows to be here, is here."""

from typing import Any

from django.db import transaction

from crm.actions.accounts import create_account, create_contact, keys_of
from crm.imports.legacy.mapping import Part
from crm.imports.legacy.times import as_of, date_back
from crm.imports.legacy.work import LEGACY_ID, Report, Work, make_legacy_field, split, team_for
from crm.models import STRONG_KEYS, Account, Contact, KeyKind, MatchKey

TIMES = ("created_at", "updated_at")


def bring_account(work: Work, part: Part, row: dict[str, Any], report: Report) -> bool:
    """Whether it is new. Raises CRMError."""
    values, custom = split(part, row, without={"owner", *TIMES})
    values = {name: str(value) for name, value in values.items()}
    if _is_here(work, part, row, Account, values):
        return False
    owner = work.user(row.get("owner"), report)
    created, changed = work.moment(row, "created_at"), work.moment(row, "updated_at")
    with transaction.atomic(), as_of(created):
        make_legacy_field("account")
        made = create_account(
            by=work.by, owner=owner, team=team_for(owner), name=values.pop("name", ""),
            custom={**custom, LEGACY_ID: work.mark(row["id"])}, **values,
        )  # fmt: skip
        date_back(made, created=created, changed=changed)
        transaction.set_rollback(work.is_dry)
    work.became[part.kind][str(row["id"])] = None if work.is_dry else made.pk
    return True


def bring_contact(work: Work, part: Part, row: dict[str, Any], report: Report) -> bool:
    """Whether it is new. Raises CRMError."""
    created, changed = work.moment(row, "created_at"), work.moment(row, "updated_at")
    work.refuse_erased(row, created)
    values, custom = split(part, row, without={"owner", "account", *TIMES})
    values = {name: str(value) for name, value in values.items()}
    if _is_here(work, part, row, Contact, values):
        return False
    account = work.referred("accounts", Account, row.get("account"))
    owner = work.user(row.get("owner"), report)
    with transaction.atomic(), as_of(created):
        make_legacy_field("contact")
        made = create_contact(
            by=work.by, owner=owner, team=team_for(owner), full_name=values.pop("full_name", ""),
            account=account, custom={**custom, LEGACY_ID: work.mark(row["id"])}, **values,
        )  # fmt: skip
        date_back(made, created=created, changed=changed)
        transaction.set_rollback(work.is_dry)
    work.became[part.kind][str(row["id"])] = None if work.is_dry else made.pk
    return True


def _is_here(
    work: Work, part: Part, row: dict[str, Any], model: type[Account] | type[Contact], values: dict[str, str]
) -> bool:
    """By its mark, or by a domain or strong key of one that is here: theirs then stands for ours."""
    found: Any = work.marked(model, row["id"])  # type: ignore[type-var]
    if found is None:
        kinds = {*STRONG_KEYS, KeyKind.DOMAIN}
        for kind, value in keys_of(model(), dict(values)):
            if kind in kinds and found is None:
                what = str(model._meta.model_name)
                live: Any = model._default_manager.live()  # type: ignore[attr-defined]
                keys = MatchKey.objects.filter(kind=kind, value=value, **{f"{what}__in": live})
                key = keys.order_by(what).first()
                found = getattr(key, what) if key else None
    if found is None:
        return False
    work.became[part.kind][str(row["id"])] = found.pk
    return True
