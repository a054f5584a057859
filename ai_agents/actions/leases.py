"""Whose lease it is: a token's first half names the instance of the cluster that claimed, so that what it had
in hand when it was ended from outside can go on at once, without having spent an attempt.

A task that kills its own process is another matter: its worker dies alone, nobody ends the cluster, and the
leases of what it had in hand run out (`queue.reap`).
"""

from uuid import UUID

from django.db import transaction

from ai_agents.actions import budget
from ai_agents.actions.outcomes import Outcome
from ai_agents.actions.queue import finish
from ai_agents.models import AgentTask, TaskState
from crm.progress import mark_of

ENDED = Outcome(TaskState.QUEUED, "process_ended", gives_back=True)


@transaction.atomic
def give_back(instance: str) -> int:
    """Put back what this instance held. All its processes have ended. Returns how many tasks.

    Nobody knows whether the calls of those that had started were made, so what was reserved for them is
    booked as spent. Publishes AgentTaskChanged.
    """
    mark = mark_of(instance)
    held = AgentTask.objects.filter(
        state=TaskState.RUNNING, lease_token__range=(UUID(mark + "0" * 16), UUID(mark + "f" * 16))
    )
    tasks = list(held.order_by("pk").select_for_update())
    budget.settle_unknown(tasks)
    finish([(task, ENDED) for task in tasks])
    return len(tasks)
