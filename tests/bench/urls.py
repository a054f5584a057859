"""The product's addresses, and two more for figures that measurements ask for by themselves.

Their views are screens like all others: sign-in, rights and the frame's headers are part of the price.
"""

from datetime import timedelta

import orjson
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.urls import path

from crm import clock
from crm.actions.pipelines import default_pipeline
from crm.figures.board import board
from crm.figures.dashboard import counts
from crm.models import OPEN_STATUSES, Lead
from crm.web.base import person, screen
from gardenos import urls

DUE_CAP = 1_000
HOTTEST = 10


@screen
def board_figures(request: HttpRequest) -> HttpResponse:
    """The default pipeline's stages, each with its first cards, its count and its sum."""
    columns = [
        {
            "stage": column.stage.name,
            "n": column.n,
            "sum": str(column.total),
            "cards": [(str(card), str(card.account), str(card.amount), card.rank) for card in column.cards],
        }
        for column in board(default_pipeline(), person(request), currency="EUR")
    ]
    return HttpResponse(orjson.dumps(columns), content_type="application/json")


@screen
def dashboard_figures(request: HttpRequest) -> HttpResponse:
    """Leads by status, owner and source, how many are due today, and the hottest."""
    who, today = person(request), clock.now() + timedelta(days=1)
    leads = Lead.objects.visible_to(who).filter(status__in=OPEN_STATUSES)
    hottest = leads.order_by(F("score").desc(nulls_last=True), "-id")
    answer = {
        "by": {
            name: [(counted.group[name], counted.n) for counted in counts(who, "lead", name)]
            for name in ("status", "owner_id", "source_id")
        },
        "due": leads.filter(next_action_at__lt=today).order_by()[: DUE_CAP + 1].count(),
        "hottest": list(hottest.values("public_id", "name", "company", "score")[:HOTTEST]),
    }
    return HttpResponse(orjson.dumps(answer), content_type="application/json")


urlpatterns = [
    path("bench/board", board_figures),
    path("bench/dashboard", dashboard_figures),
    *urls.urlpatterns,
]
