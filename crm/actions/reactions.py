"""Importing this connects the domain's own reactions: modules that register handlers with @events.on."""
