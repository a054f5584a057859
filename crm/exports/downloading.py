"""An export's file as an answer, for all doors."""

from pathlib import Path

from django.http import FileResponse

from crm.exports.files import TYPES


def download_of(path: Path, name: str) -> FileResponse:
    """A download that no browser runs, guesses at or keeps."""
    response = FileResponse(
        path.open("rb"), as_attachment=True, filename=name, content_type=TYPES[path.suffix[1:]]
    )
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response
