"""The admin door: set-up and repair. Django imports this module by itself."""

from crm.admin import (
    accounts,
    audit,
    duplicates,
    forms,
    invitations,
    leads,
    messages,
    opportunities,
    people,
    pipelines,
    records,
    system,
    views,
    work,
)

__all__ = [
    "accounts",
    "audit",
    "duplicates",
    "forms",
    "invitations",
    "leads",
    "messages",
    "opportunities",
    "people",
    "pipelines",
    "records",
    "system",
    "views",
    "work",
]
