"""/api/v1/agents/costs/ and /budgets/: what the agents cost, and what a day may cost."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.fields import DateTimeField
from rest_framework.request import Request
from rest_framework.response import Response

from ai_agents.actions.caps import BudgetNow, budgets_now, set_budget
from ai_agents.actions.costs import Costs, KindCost, costs
from crm import clock
from crm.api.base import ApiView, StrictSerializer, TextField, actor_of, checked_body
from crm.permissions import Verb, may


def usd_field(*, allow_null: bool = False, help_text: str = "") -> serializers.DecimalField:
    """An amount of US dollars."""
    return serializers.DecimalField(14, 6, allow_null=allow_null, help_text=help_text)


class KindCostSerializer(serializers.Serializer):
    """One kind of work, USD. `unknown` calls were not answered, so that nobody knows their cost."""

    kind = serializers.CharField(help_text="a pool's kind, `replay`, or `all`")
    tasks = serializers.IntegerField()
    leads = serializers.IntegerField(help_text="leads read")
    calls = serializers.IntegerField()
    invalid = serializers.IntegerField(help_text="answers that could not be read")
    unknown = serializers.IntegerField()
    tokens_in = serializers.IntegerField()
    tokens_out = serializers.IntegerField()
    usd = usd_field()
    usd_per_task = usd_field(allow_null=True)
    usd_per_lead = usd_field(allow_null=True)


class ModelCostSerializer(serializers.Serializer):
    """One model."""

    provider = serializers.CharField()
    model = serializers.CharField()
    calls = serializers.IntegerField()
    tokens_in = serializers.IntegerField()
    tokens_out = serializers.IntegerField()
    usd = usd_field()


class PersonCostSerializer(serializers.Serializer):
    """What one person asked for."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    calls = serializers.IntegerField()
    usd = usd_field()


class CostsSerializer(serializers.Serializer):
    """The costs of a period. `people` is shown to those who set up the system only."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    total = KindCostSerializer()
    kinds = KindCostSerializer(many=True)
    models = ModelCostSerializer(many=True)
    people = PersonCostSerializer(many=True)
    won = serializers.IntegerField(help_text="opportunities won in the period")
    usd_per_won_deal = usd_field(allow_null=True)


class BudgetSerializer(serializers.Serializer):
    """One budget of today (UTC), USD."""

    scope = serializers.CharField(help_text="`all`, a kind of work, or `user:` and a person's id")
    name = serializers.CharField()
    cap = usd_field()
    spent = usd_field()
    reserved = usd_field(help_text="set aside for calls in flight")
    left = usd_field()
    is_spent = serializers.BooleanField()


class BudgetsSerializer(serializers.Serializer):
    """All budgets that hold: they are few, so there is one page."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = BudgetSerializer(many=True)


class SetBudgetSerializer(StrictSerializer):
    """What a day may cost in a scope, from now on; null takes the cap away."""

    scope = TextField(max_length=60)
    usd_day = serializers.DecimalField(max_digits=12, decimal_places=6, min_value=Decimal(0), allow_null=True)


def kind_document(kind: KindCost) -> dict[str, Any]:
    names = ("kind", "tasks", "leads", "calls", "invalid", "unknown", "tokens_in", "tokens_out", "usd")
    return {
        **{name: getattr(kind, name) for name in names},
        "usd_per_task": kind.usd_per_task,
        "usd_per_lead": kind.usd_per_lead,
    }


def costs_document(found: Costs, *, with_people: bool) -> dict[str, Any]:
    """As CostsSerializer describes it."""
    return {
        "since": found.since,
        "until": found.until,
        "total": kind_document(found.total),
        "kinds": [kind_document(kind) for kind in found.kinds],
        "models": list(found.models),
        "people": list(found.people) if with_people else [],
        "won": found.won,
        "usd_per_won_deal": found.usd_per_won_deal,
    }


def budget_document(now: BudgetNow) -> dict[str, Any]:
    """As BudgetSerializer describes it."""
    names = ("scope", "name", "cap", "spent", "reserved", "left", "is_spent")
    return {name: getattr(now, name) for name in names}


def since_of(request: Request, until: datetime, *, usual: timedelta) -> datetime:
    """When the period begins that `?since=` names. Raises ValidationError."""
    text = request.query_params.get("since")
    if not text:
        return until - usual
    try:
        return DateTimeField().run_validation(text)
    except ValidationError:
        raise ValidationError({"since": _("Write a time as in 2026-11-30T08:00:00Z.")}) from None


class CostsView(ApiView):
    """What the agents cost."""

    query_parameters: ClassVar[frozenset[str]] = frozenset({"since"})

    @extend_schema(
        summary="Costs of the agents",
        parameters=[OpenApiParameter("since", str, description="RFC 3339; the last 30 days without it.")],
        responses=CostsSerializer,
    )
    def get(self, request: Request) -> Response:
        until = clock.now()
        found = costs(since_of(request, until, usual=timedelta(days=30)), until)
        return Response(costs_document(found, with_people=may(actor_of(request), Verb.SET_UP)))


class BudgetsView(ApiView):
    """Today's budgets, and setting their caps."""

    write_scope = "agents"

    @extend_schema(summary="Budgets of today", responses=BudgetsSerializer)
    def get(self, request: Request) -> Response:
        return self._answer(request)

    @extend_schema(summary="Set a budget", request=SetBudgetSerializer, responses=BudgetsSerializer)
    def post(self, request: Request) -> Response:
        set_budget(**checked_body(request, SetBudgetSerializer), by=actor_of(request))
        return self._answer(request)

    def _answer(self, request: Request) -> Response:
        """Other people's budgets are shown to those who set them only."""
        by = actor_of(request)
        sees_all = may(by, Verb.SET_UP)
        mine = f"user:{by.user.public_id if by.user else ''}"
        found = [
            budget_document(now)
            for now in budgets_now()
            if sees_all or not now.scope.startswith("user:") or now.scope == mine
        ]
        return Response({"next": None, "previous": None, "results": found})
