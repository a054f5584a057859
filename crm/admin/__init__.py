"""The admin door: set-up and repair. Django imports this module by itself."""

from crm.admin import invitations, leads, messages, people, system

__all__ = ["invitations", "leads", "messages", "people", "system"]
