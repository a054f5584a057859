"""Importing this connects the domain's own reactions: modules that register handlers with @events.on."""

from crm.actions import (  # noqa: F401
    assignment,
    follow_up_reactions,
    opportunity_reactions,
    replies,
    unsubscribing,
)
