"""The admin door: set-up and repair. Django imports this module by itself."""

from crm.admin import duplicates, forms, invitations, leads, messages, people, system

__all__ = ["duplicates", "forms", "invitations", "leads", "messages", "people", "system"]
