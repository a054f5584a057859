"""Merging two records and taking it back; pairs that may be the same. Each act shows a page first."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm.actions.bulk import MOST_ROWS
from crm.actions.duplicates import dismiss_candidate
from crm.actions.merge_values import KINDS, LOSER, POINTS, WINNER, Mergeable
from crm.actions.merging import merge_accounts, merge_contacts, merge_leads
from crm.actions.unmerging import preview_undo_merge, undo_merge
from crm.admin.base import RecordAdmin
from crm.errors import CRMError
from crm.models import Account, Actor, Contact, DuplicateCandidate, Lead, MergeLog, MergeTarget, acting
from crm.permissions import Verb, may, without_kept_fields

ACT = {
    MergeTarget.LEAD: merge_leads,
    MergeTarget.CONTACT: merge_contacts,
    MergeTarget.ACCOUNT: merge_accounts,
}
PAGE = "admin/crm/confirm.html"


def ask(model_admin: Any, request: HttpRequest, rows: QuerySet, **context: Any) -> HttpResponse:
    """The page between an act and its doing: it posts the same act back to the list, with `confirmed`. Rows
    that were selected across pages are not named but selected so again.
    """
    is_all = request.POST.get("select_across") == "1"
    selected = list(rows.values_list("pk", flat=True)[: 1 if is_all else None])
    return TemplateResponse(
        request,
        PAGE,
        {
            **model_admin.admin_site.each_context(request),
            "opts": model_admin.model._meta,
            "act": request.POST["action"],
            "selected": selected,
            "is_all": is_all,
            "count": rows.order_by()[: MOST_ROWS + 1].count() if is_all else len(selected),
            **context,
        },
    )


def _only_one(request: HttpRequest, rows: QuerySet) -> Any:
    """The selected row, or None with a message."""
    found = list(rows[:2])
    if len(found) == 1:
        return found[0]
    messages.error(request, _("Select one row."))
    return None


def _actor(request: HttpRequest) -> Actor:
    return Actor.of(request.user)  # type: ignore[arg-type]


class MergeTwo(RecordAdmin):
    """A list whose rows can be merged, two at a time, with the values chosen field by field."""

    actions: Any = ("merge_two",)

    def has_merge_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request) and may(_actor(request), Verb.MERGE)

    @admin.action(description=gettext_lazy("Merge these two"), permissions=["merge"])
    def merge_two(self, request: HttpRequest, rows: QuerySet) -> HttpResponse | None:
        pair = list(rows.order_by("pk")[:3])
        if len(pair) != 2:
            messages.error(request, _("Select two rows to merge."))
            return None
        kind = KINDS[str(self.model._meta.model_name)]
        return merge_pair(self, request, rows, kind, pair)


def merge_pair(
    model_admin: RecordAdmin, request: HttpRequest, rows: QuerySet, kind: Mergeable, pair: list[Any]
) -> HttpResponse | None:
    """Show the two side by side, or merge them as they were chosen."""
    if "confirmed" in request.POST:
        try:
            _merge(request, kind, pair)
        except CRMError as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, _("Merged. It may be undone for seven days, in the list of merges."))
        return None
    lines = [
        {
            "name": choice,
            "label": _label(kind, choice),
            "shown": [
                {"side": side, "text": _shown(kind, record, choice)}
                for side, record in zip("ab", pair, strict=True)
            ],
        }
        for choice in kind.choices
    ]
    return ask(
        model_admin,
        request,
        rows,
        title=_("Merge these two"),
        pair=list(zip("ab", pair, strict=True)),
        lines=lines,
    )


def _merge(request: HttpRequest, kind: Mergeable, pair: list[Any]) -> None:
    stays = "b" if request.POST.get("stays") == "b" else "a"
    winner, loser = pair if stays == "a" else reversed(pair)
    values = {
        choice: WINNER if request.POST[f"value-{choice}"] == stays else LOSER
        for choice in kind.choices
        if request.POST.get(f"value-{choice}") in {"a", "b"}
    }
    seen = {
        record.pk: request.POST.get(f"version-{side}", "") for side, record in zip("ab", pair, strict=True)
    }
    ACT[kind.target](
        winner.pk,
        loser.pk,
        by=_actor(request),
        values=values,
        reason=request.POST.get("reason", ""),
        versions={
            name: int(seen[record.pk])
            for name, record in ((WINNER, winner), (LOSER, loser))
            if seen[record.pk].isdecimal()
        },
    )


def _label(kind: Mergeable, choice: str) -> str:
    names = {
        "email": _("e-mail"),
        "phone": _("phone"),
        "custom": _("own fields"),
        "next_action": _("next step"),
    }
    if choice in names:
        return names[choice]
    return str(getattr(kind.model._meta.get_field(choice), "verbose_name", choice))


def _shown(kind: Mergeable, record: Any, choice: str) -> str:
    if choice in POINTS:
        point = record.contact_points.filter(kind=choice, is_primary=True).first()
        return point.raw if point else ""
    if choice == "custom":
        shown = without_kept_fields(acting(), str(record._meta.model_name), record.custom)
        return ", ".join(f"{key}: {value}" for key, value in shown.items())
    if choice == "next_action":
        return f"{record.next_action_at:%Y-%m-%d %H:%M}" if record.next_action_at else ""
    value = getattr(record, choice)
    return "" if value is None else str(value)


@admin.register(DuplicateCandidate)
class DuplicateCandidateAdmin(MergeTwo):
    """Pairs to be decided."""

    list_display = ("pair", "target", "score", "why", "state", "decided_by")
    list_select_related = (
        "lead_a",
        "lead_b",
        "contact_a",
        "contact_b",
        "account_a",
        "account_b",
        "decided_by",
    )
    list_filter = ("state", "target")
    ordering = ("-score", "-id")
    actions = ("merge_this", "dismiss")

    def get_queryset(self, request: HttpRequest) -> QuerySet[DuplicateCandidate]:
        """Pairs both of whose records this person may read."""
        return super().get_queryset(request).filter(_both(request, "{}_a", "{}_b"))

    @admin.display(description=gettext_lazy("pair"))
    def pair(self, candidate: DuplicateCandidate) -> str:
        return " / ".join(str(record) for record in _pair_of(candidate))

    @admin.display(description=gettext_lazy("why"))
    def why(self, candidate: DuplicateCandidate) -> str:
        return "; ".join(candidate.reasons)

    @admin.action(description=gettext_lazy("Merge this pair"), permissions=["merge"])
    def merge_this(self, request: HttpRequest, rows: QuerySet) -> HttpResponse | None:
        candidate = _only_one(request, rows)
        if candidate is None:
            return None
        return merge_pair(self, request, rows, KINDS[candidate.target], _pair_of(candidate))

    @admin.action(description=gettext_lazy("Not the same"), permissions=["merge"])
    def dismiss(self, request: HttpRequest, rows: QuerySet) -> None:
        done = 0
        for candidate_id in list(rows.values_list("pk", flat=True)):
            try:
                dismiss_candidate(candidate_id, by=_actor(request))
                done += 1
            except CRMError as refused:
                messages.error(request, str(refused))
        messages.success(request, _("%d pairs are not offered again.") % done)


@admin.register(MergeLog)
class MergeLogAdmin(RecordAdmin):
    """What was merged into what; undo within seven days."""

    list_display = ("created_at", "target", "winner", "reason", "by", "expires_at", "undone_at")
    list_select_related = ("winner_lead", "winner_contact", "winner_account", "by")
    list_filter = ("target",)
    fields = ("target", "winner", "reason", "by", "created_at", "expires_at", "undone_at", "undone_by")
    readonly_fields = fields
    actions = ("undo",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[MergeLog]:
        return super().get_queryset(request).filter(_both(request, "winner_{}"))

    def has_merge_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request) and may(_actor(request), Verb.MERGE)

    @admin.display(description=gettext_lazy("winner"))
    def winner(self, log: MergeLog) -> str:
        return str(getattr(log, f"winner_{log.target}"))

    @admin.action(description=gettext_lazy("Undo this merge"), permissions=["merge"])
    def undo(self, request: HttpRequest, rows: QuerySet) -> HttpResponse | None:
        log = _only_one(request, rows)
        if log is None:
            return None
        try:
            if "confirmed" not in request.POST:
                seen = preview_undo_merge(log.pk, by=_actor(request))
                told = [_("“%(one)s” and “%(two)s” are two again.") % {"one": seen.winner, "two": seen.loser}]
                return ask(self, request, rows, title=_("Undo this merge"), told=[*told, *seen.kept])
            result = undo_merge(log.pk, by=_actor(request))
        except CRMError as refused:
            messages.error(request, str(refused))
            return None
        messages.success(request, " ".join([_("The merge is undone."), *result.kept]))
        return None


def _pair_of(candidate: DuplicateCandidate) -> list[Any]:
    return [getattr(candidate, f"{candidate.target}_{side}") for side in "ab"]


def _both(request: HttpRequest, *names: str) -> Q:
    """Rows whose records of these names are all visible to the person."""
    any_kind = Q()
    for target, model in (("lead", Lead), ("contact", Contact), ("account", Account)):
        visible = model.objects.visible_to(request.user)  # type: ignore[arg-type]
        any_kind |= Q(target=target, **{f"{name.format(target)}__in": visible for name in names})
    return any_kind
