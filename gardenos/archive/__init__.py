"""The whole site as one file, and back: for moving house, for a copy to try things on, for the shelf.

An archive is an uncompressed tar: `manifest.json` first, then `tables/<table>.csv.gz`, then `files/<name>`.
docs/operations/archive.md describes it for whoever wants to read one without us.
"""
