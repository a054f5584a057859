"""Mail: how an approved text becomes bytes, and how the bytes leave the house."""

from crm.mail.catcher import CatcherBackend

__all__ = ["CatcherBackend"]
