"""Are the match keys what the records' data says? They are derived, so they can be made anew at any time.

What a record cannot tell any more stays as it is: external ids, and keys of names and companies that came
with inquiries or merged records. Of e-mail addresses, phone numbers and domains exactly its own count.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from crm.actions.audit import audit
from crm.actions.identity import identities_of, lock_identities
from crm.models import Account, Actor, Contact, ContactPoint, KeyKind, Lead, MatchKey

Key = tuple[str, str]
Keyed = Lead | Contact | Account
SLICE = 1_000  # records
MODELS: tuple[type[Keyed], ...] = (Lead, Contact, Account)
_NAMES: dict[type[Keyed], tuple[str, ...]] = {
    Lead: ("name", "company"),
    Contact: ("full_name", "account__name"),
    Account: ("name", "domain"),
}
_KEPT = {KeyKind.EXTERNAL, KeyKind.NAME_COMPANY}  # never too many


@dataclass(frozen=True, slots=True)
class Difference:
    """A record whose keys are not what its data says: `missing` ones, and `stale` ones that nothing bears."""

    model: type[Keyed]
    pk: int
    public_id: str
    missing: frozenset[Key]
    stale: frozenset[Key]

    @property
    def keys(self) -> frozenset[Key]:
        return self.missing | self.stale


def wrong_match_keys() -> Iterator[list[Difference]]:
    """The differences of SLICE records after SLICE records, all leads, contacts and accounts that were not
    merged away. Three queries a slice.
    """
    for model in MODELS:
        after = 0
        while True:
            rows = model._default_manager.filter(merged_into=None, pk__gt=after).order_by("pk")
            slice_ = list(rows.values_list("pk", "public_id", *_NAMES[model])[:SLICE])
            if not slice_:
                break
            after = slice_[-1][0]
            yield _differences(model, slice_)


@transaction.atomic
def put_right(found: list[Difference], *, by: Actor) -> int:
    """Write what is missing and take away what is stale, as the data says now, under the keys' locks. Returns
    how many records are left for the next time, because they changed meanwhile.
    """
    held = frozenset(key for difference in found for key in difference.keys)
    lock_identities(held)
    done = left = 0
    for model in MODELS:
        keys = [difference.pk for difference in found if difference.model is model]
        rows = model._default_manager.filter(merged_into=None, pk__in=keys).order_by("pk")
        list(rows.select_for_update(of=("self",)).values_list("pk"))
        for now in _differences(model, list(rows.values_list("pk", "public_id", *_NAMES[model]))):
            if now.keys <= held:
                _write(now)
                done += 1
            else:
                left += 1
    if done:
        audit("match_keys.rebuilt", f"made match keys anew: {done}", by=by, records=done)
    return left


def _write(difference: Difference) -> None:
    owner: dict[str, Any] = {f"{difference.model._meta.model_name}_id": difference.pk}
    for kind, value in difference.stale:
        MatchKey.objects.filter(**owner, kind=kind, value=value).delete()
    MatchKey.objects.bulk_create(
        [MatchKey(**owner, kind=kind, value=value) for kind, value in sorted(difference.missing)],
        ignore_conflicts=True,
    )


def _differences(model: type[Keyed], rows: list[tuple[Any, ...]]) -> list[Difference]:
    """Of these rows: key, public id, and what _NAMES says."""
    what, pks = str(model._meta.model_name), [row[0] for row in rows]
    have, points = defaultdict[int, set[Key]](set), defaultdict[int, list[Key]](list)
    for pk, kind, value in MatchKey.objects.filter(**{f"{what}__in": pks}).values_list(
        f"{what}_id", "kind", "value"
    ):
        have[pk].add((kind, value))
    if model is not Account:
        reached = ContactPoint.objects.filter(**{f"{what}__in": pks}).order_by("pk")
        for pk, kind, norm in reached.values_list(f"{what}_id", "kind", "norm"):
            points[pk].append((kind, norm))
    found = []
    for pk, public_id, *names in rows:
        due = _due(model, names, points[pk])
        stale = {key for key in have[pk] - due if key[0] not in _KEPT and not _is_spare(model, key)}
        if due - have[pk] or stale:
            found.append(Difference(model, pk, str(public_id), frozenset(due - have[pk]), frozenset(stale)))
    return found


def _due(model: type[Keyed], names: list[str | None], points: Iterable[Key]) -> set[Key]:
    """What a record of this data is recognised by."""
    first, second = names[0] or "", names[1] or ""
    if model is Account:
        return {(KeyKind.DOMAIN, second)} if second else set()
    if model is Contact and not points:
        return set()
    keys = {(str(kind), value) for one in identities_of(first, second, points) for kind, value in one.keys}
    return {key for key in keys if not _is_spare(model, key)}


def _is_spare(model: type[Keyed], key: Key) -> bool:
    """Where a contact works is found by the account; the domain of a lead that became one may be there."""
    return model is Contact and key[0] == KeyKind.DOMAIN
