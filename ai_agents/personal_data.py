"""Where the agents' tables hold personal data; crm's export and erasure walk these too."""

from ai_agents.models import AgentCall, AgentTask
from crm.actions.personal_data import Held, also_held

also_held(
    Held(
        AgentCall,
        lead=("task__lead", "task__opportunity__lead"),
        contact=("task__opportunity__primary_contact",),
        blank={"input": {}, "output": ""},
    ),
    Held(
        AgentTask,
        lead=("lead", "opportunity__lead"),
        contact=("opportunity__primary_contact",),
        blank={"params": {}, "error": ""},
    ),
)
