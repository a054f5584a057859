"""The whole site into one file."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from crm.actions.audit import audit
from crm.models import Actor
from gardenos.archive.writing import write_archive
from gardenos.progress import Line


class Command(BaseCommand):
    help = (
        "Write every record and file into one archive, from one moment, while the site runs. It holds all "
        "that the database holds, password hashes included: keep it like a backup."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="where to write it; must not exist")

    def handle(self, *, file: Path, **options: Any) -> None:
        if not file.absolute().parent.is_dir():
            raise CommandError(f"There is no folder {file.absolute().parent}.", returncode=2)
        audit("site.exported", "wrote an archive of everything", by=Actor.system("export_all"))
        with Line(self.stderr) as line:
            try:
                manifest = write_archive(file.absolute(), progress=line.show)
            except FileExistsError:
                raise CommandError(f"{file} exists; name a new file.", returncode=2) from None
            except OSError as error:
                raise CommandError(f"{file} cannot be written: {error.strerror}.") from None
        size = file.stat().st_size
        self.stdout.write(
            f"{file}: {manifest.rows:,} rows of {len(manifest.tables)} tables and "
            f"{len(manifest.files):,} files, {size / 1e6:,.1f} MB"
        )
