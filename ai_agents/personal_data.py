"""Where the agents' tables hold personal data; crm's export and erasure walk these too."""

from ai_agents.models import AgentCall, AgentTask
from crm.actions.personal_data import Held, also_held

also_held(
    Held(AgentCall, lead=("task__lead",), blank={"input": {}, "output": ""}),
    Held(AgentTask, lead=("lead",), blank={"params": {}, "error": ""}),
)
