"""/api/v1/ of the agents, mounted before the CRM's own addresses."""

from django.urls import path

from ai_agents.api.agents import (
    AgentMetricsView,
    PoolListView,
    PoolPauseView,
    PoolResumeView,
    PoolScaleView,
    PoolsHealthView,
    PoolView,
    QueuesView,
    RestartView,
)
from ai_agents.api.calls import CallView, LeadCallsViewSet
from ai_agents.api.costs import BudgetsView, CostsView
from ai_agents.api.drafts import DraftsView
from ai_agents.api.requests import AgentRunView, AnalyseView, DraftView, ReviewView, RewriteView
from ai_agents.api.scoring import ScoringView

app_name = "ai_agents_api"
urlpatterns = [
    path("agents/", PoolListView.as_view(), name="pool_list"),
    path("agents/costs/", CostsView.as_view(), name="agent_costs"),
    path("agents/budgets/", BudgetsView.as_view(), name="agent_budgets"),
    path("agents/scoring/", ScoringView.as_view(), name="scoring"),
    path("agents/drafts/", DraftsView.as_view(), name="agent_drafts"),
    path("agents/health/", PoolsHealthView.as_view(), name="pools_health"),
    path("agents/queues/", QueuesView.as_view(), name="queues"),
    path("agents/restart/", RestartView.as_view(), name="restart"),
    path("agents/<slug:kind>/", PoolView.as_view(), name="pool"),
    path("agents/<slug:kind>/metrics/", AgentMetricsView.as_view(), name="agent_metrics"),
    path("agents/calls/<uuid:public_id>/", CallView.as_view(), name="agent_call"),
    path("agents/<slug:kind>/scale/", PoolScaleView.as_view(), name="pool_scale"),
    path("agents/<slug:kind>/pause/", PoolPauseView.as_view(), name="pool_pause"),
    path("agents/<slug:kind>/resume/", PoolResumeView.as_view(), name="pool_resume"),
    path("agents/<slug:kind>/run/", AgentRunView.as_view(), name="agent_run"),
    path("opportunities/<uuid:public_id>/review/", ReviewView.as_view(), name="opportunity_review"),
    path("leads/<uuid:public_id>/calls/", LeadCallsViewSet.as_view({"get": "list"}), name="lead_calls"),
    path("leads/<uuid:public_id>/analyse/", AnalyseView.as_view(), name="lead_analyse"),
    path("leads/<uuid:public_id>/draft/", DraftView.as_view(), name="lead_draft"),
    path("follow-ups/<uuid:public_id>/rewrite/", RewriteView.as_view(), name="follow_up_rewrite"),
]
