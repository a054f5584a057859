"""The admin door: set-up and repair. Django imports this module by itself."""

from crm.admin import audit, duplicates, forms, invitations, leads, messages, people, system, views

__all__ = ["audit", "duplicates", "forms", "invitations", "leads", "messages", "people", "system", "views"]
