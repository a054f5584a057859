"""`manage.py check` refuses prompts that changed after they were published."""

from typing import Any

from django.core.checks import CheckMessage, Error, register

from ai_agents.prompts import complaints


@register()
def prompts_are_as_published(**kwargs: Any) -> list[CheckMessage]:
    return [Error(complaint, id="ai_agents.E001") for complaint in complaints()]
