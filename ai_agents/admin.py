"""The agents' pages of the admin: pools are set by their actions, everything else is only read."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ai_agents.actions.caps import set_budget
from ai_agents.actions.fitting import use_model
from ai_agents.actions.pools import pause_agents, resume_agents, scale_agents, set_pool
from ai_agents.actions.prices import set_price
from ai_agents.actions.prompts import promote_prompt
from ai_agents.actions.replays import start_replay, table
from ai_agents.models import (
    AgentCall,
    AgentPool,
    AgentTask,
    Budget,
    BudgetCap,
    ModelPrice,
    PromptUse,
    ProviderHealth,
    Replay,
    ScoringModel,
)
from crm.actions.base import check_version
from crm.admin.base import CheckedByAction, RecordAdmin
from crm.errors import CRMError, InvalidValue
from crm.models import Actor, User
from crm.permissions import Verb

LIMITS = ("is_auto", "min_concurrency", "max_concurrency", "rpm", "budget_day_usd")


@admin.register(AgentPool)
class AgentPoolAdmin(RecordAdmin):
    """How many agents of a kind may work at a time."""

    see_verb = change_verb = Verb.SET_UP
    list_display = ("kind", "target", "is_auto", "max_concurrency", "paused", "paused_because")
    ordering = ("kind",)
    fields = ("kind", "target", "paused", *LIMITS, "paused_because", "provider", "model", "draft_from")
    readonly_fields = ("kind", "paused_because", "provider", "model", "draft_from")

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> AgentPool:
        assert record_id is not None  # pools are made by the agents themselves
        pool = AgentPool.objects.select_for_update().get(pk=record_id)
        check_version(pool, changes["version"])
        limits = {name: changes[name] for name in LIMITS if name in changes}
        if limits:
            pool = set_pool(pool.kind, by=actor, **limits)
        if "target" in changes:
            pool = scale_agents(pool.kind, target=changes["target"], by=actor)
        if "paused" in changes:
            switch = pause_agents if changes["paused"] else resume_agents
            pool = switch(pool.kind, by=actor)
        return pool


class HistoryAdmin(RecordAdmin):
    """What the engine did. Inputs and outputs hold people's data, so only who sets up may read them."""

    see_verb = Verb.SET_UP


@admin.register(AgentTask)
class AgentTaskAdmin(HistoryAdmin):
    """The queue."""

    list_display = ("kind", "lead", "state", "priority", "attempts", "error", "run_after")
    list_select_related = ("lead",)
    list_filter = ("state",)


@admin.register(AgentCall)
class AgentCallAdmin(HistoryAdmin):
    """Every question to a model, and what it cost."""

    list_display = ("created_at", "task", "attempt", "model", "status", "cost_usd", "ms")
    list_select_related = ("task",)
    list_filter = ("status",)


@admin.register(Budget)
class BudgetAdmin(HistoryAdmin):
    """Money, by day and scope."""

    list_display = ("day", "scope", "cap", "reserved", "spent")
    ordering = ("-day", "scope")


@admin.register(ProviderHealth)
class ProviderHealthAdmin(HistoryAdmin):
    """Circuits of the models: which are left alone, and why."""

    list_display = ("provider", "model", "state", "reason", "opened_at", "retry_at", "ms")
    ordering = ("provider", "model")


@admin.register(BudgetCap)
class BudgetCapAdmin(RecordAdmin):
    """What a day may cost, set by people. A pool's own cap is on its page."""

    form = CheckedByAction
    see_verb = change_verb = add_verb = Verb.SET_UP
    list_display = ("scope", "usd_day")
    ordering = ("scope",)
    fields = ("scope", "usd_day")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("scope",) if obj else ()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        scope = set_budget(obj.scope, usd_day=obj.usd_day, by=Actor.of(request.user))  # type: ignore[arg-type]
        kept = BudgetCap.objects.filter(scope=scope).first()
        if kept is None:
            raise InvalidValue(_("Set a pool's budget on the pool's page."), field="scope")
        obj.pk = kept.pk
        obj.refresh_from_db()


@admin.register(ModelPrice)
class ModelPriceAdmin(RecordAdmin):
    """What models cost, from which day. A new price is a new row: what was booked stays explained."""

    form = CheckedByAction
    see_verb = add_verb = Verb.SET_UP
    list_display = ("provider", "model", "valid_from", "usd_in", "usd_cached", "usd_out", "note")
    ordering = ("provider", "model", "-valid_from")
    fields = ("provider", "model", "valid_from", "usd_in", "usd_cached", "usd_out", "note")

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> ModelPrice:
        return set_price(changes.pop("provider"), changes.pop("model"), by=actor, **changes)


@admin.register(ScoringModel)
class ScoringModelAdmin(HistoryAdmin):
    """Fits of the statistical score: which one is active, and why; or why not."""

    list_display = ("fitted_at", "rows", "brier", "base_rate_brier", "is_active", "is_pinned", "note")
    list_filter = ("is_active",)
    ordering = ("-fitted_at",)
    actions = ("use_again",)

    @admin.display(description="Brier")
    def brier(self, model: ScoringModel) -> object:
        return model.metrics.get("brier")

    @admin.display(description="Brier of the base rate")
    def base_rate_brier(self, model: ScoringModel) -> object:
        return model.metrics.get("base_brier")

    @admin.action(description=gettext_lazy("Go back to this fit"))
    def use_again(self, request: HttpRequest, chosen: QuerySet[ScoringModel]) -> None:
        """Let the one that was ticked be active."""
        models = list(chosen[:2])
        if len(models) != 1:
            self.message_user(request, _("Choose one fit."), messages.ERROR)
            return
        assert isinstance(request.user, User)
        try:
            model = use_model(models[0].public_id, by=Actor.of(request.user))
        except CRMError as refused:
            self.message_user(request, str(refused), messages.ERROR)
        else:
            self.message_user(request, model.note, messages.SUCCESS)


@admin.register(Replay)
class ReplayAdmin(RecordAdmin):
    """Past leads asked about again with another prompt or model, beside what is in use."""

    form = CheckedByAction
    see_verb = add_verb = Verb.SET_UP
    list_display = ("created_at", "candidate_prompt", "candidate_model", "leads", "state", "note")
    fields = ("candidate_prompt", "candidate_model", "leads", "known_days")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        asked = super().get_fields(request, obj)
        return [*asked, "present_prompt", "present_model", "state", "note", "side_by_side"] if obj else asked

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.get_fields(request, obj),) if obj else ()

    @admin.display(description="Side by side")
    def side_by_side(self, replay: Replay) -> SafeString:
        """The comparison, once it is there."""
        rows = format_html_join(
            "",
            "<tr><th>{}</th><td>{}</td><td>{}</td></tr>",
            ((line.name, line.present, line.candidate) for line in table(replay)),
        )
        return format_html("<table>{}</table>", rows)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        for name in ("candidate_prompt", "candidate_model"):  # empty: what is in use
            if name in form.base_fields:
                form.base_fields[name].required = False
        for name, value in (("leads", 200), ("known_days", 14)):
            if name in form.base_fields:
                form.base_fields[name].initial = value
        return form

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> Replay:
        prompt, model = changes["candidate_prompt"], changes["candidate_model"]
        return start_replay(
            prompt, model=model, by=actor, leads=changes["leads"], known_days=changes["known_days"]
        )


@admin.register(PromptUse)
class PromptUseAdmin(RecordAdmin):
    """Which version of its prompt each kind uses: its newest row. To go back, promote the one before."""

    form = CheckedByAction
    see_verb = add_verb = Verb.SET_UP
    list_display = ("created_at", "kind", "prompt", "previous", "because", "by_label")
    fields = ("prompt", "because")

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> PromptUse:
        return promote_prompt(changes["prompt"], by=actor, because=changes["because"])
