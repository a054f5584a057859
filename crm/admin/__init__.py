"""The admin door: set-up and repair. Django imports this module by itself."""

from crm.admin import leads, messages, people, system

__all__ = ["leads", "messages", "people", "system"]
