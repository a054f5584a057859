"""The admin door: set-up and repair. Django imports this module by itself."""

from crm.admin import (
    accounts,
    audit,
    duplicates,
    forms,
    inquiries,
    invitations,
    leads,
    messages,
    opportunities,
    people,
    pipelines,
    privacy,
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
    "inquiries",
    "invitations",
    "leads",
    "messages",
    "opportunities",
    "people",
    "pipelines",
    "privacy",
    "records",
    "system",
    "views",
    "work",
]
