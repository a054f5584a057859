"""The agents' addresses."""

from django.urls import path

from ai_agents.web import agents, calls, costs

app_name = "ai_agents"
urlpatterns = [
    path("agents/", agents.agents, name="agents"),
    path("agents/pools/", agents.agents_pools, name="agents_pools"),
    path("agents/restart/", agents.agents_restart, name="agents_restart"),
    path("agents/costs/", costs.agents_costs, name="agents_costs"),
    path("agents/costs/budget/", costs.agents_budget, name="agents_budget"),
    path("agents/tasks/<uuid:public_id>/", calls.task_calls, name="task_calls"),
    path("agents/<slug:kind>/scale/", agents.agents_scale, name="agents_scale"),
    path("agents/<slug:kind>/switch/", agents.agents_switch, name="agents_switch"),
    path("leads/<uuid:public_id>/calls/", calls.lead_calls, name="lead_calls"),
    path("leads/<uuid:public_id>/analyse/", agents.analyse, name="analyse"),
    path("leads/<uuid:public_id>/ask-draft/", agents.draft, name="draft"),
    path("follow-ups/<uuid:public_id>/rewrite/", agents.rewrite, name="rewrite"),
]
