"""The admin door: set-up and repair. Django imports this module by itself."""

from crm.admin import duplicates, invitations, leads, messages, people, system

__all__ = ["duplicates", "invitations", "leads", "messages", "people", "system"]
