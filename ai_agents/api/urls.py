"""/api/v1/ of the agents, mounted before the CRM's own addresses."""

from typing import Any

app_name = "ai_agents_api"

urlpatterns: list[Any] = []
