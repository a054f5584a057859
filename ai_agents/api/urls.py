"""/api/v1/ of the agents, mounted before the CRM's own addresses."""

from django.urls import path

from ai_agents.api.agents import PoolListView, PoolPauseView, PoolResumeView, PoolScaleView
from ai_agents.api.requests import AnalyseView, RewriteView

app_name = "ai_agents_api"
urlpatterns = [
    path("agents/", PoolListView.as_view(), name="pool_list"),
    path("agents/<slug:kind>/scale/", PoolScaleView.as_view(), name="pool_scale"),
    path("agents/<slug:kind>/pause/", PoolPauseView.as_view(), name="pool_pause"),
    path("agents/<slug:kind>/resume/", PoolResumeView.as_view(), name="pool_resume"),
    path("leads/<uuid:public_id>/analyse/", AnalyseView.as_view(), name="lead_analyse"),
    path("follow-ups/<uuid:public_id>/rewrite/", RewriteView.as_view(), name="follow_up_rewrite"),
]
