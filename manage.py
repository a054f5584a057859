#!/usr/bin/env python
"""GardenOS's command line: `./manage.py help`."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gardenos.settings")
    try:
        run()
        sys.stdout.flush()  # here a reader that went away can still be answered
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell counts it: 128 + SIGINT
    except BrokenPipeError:
        # whoever read our output has had enough; Python must not fail over it again while it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # 128 + SIGPIPE


def run() -> None:
    from gardenos.embedded_postgres import server_for_command

    with server_for_command(sys.argv[1:]):  # finds the embedded server, or runs it as long as the command
        from django.core.management import execute_from_command_line
        from django.db import OperationalError, ProgrammingError

        from gardenos.failures import database_line, tables_line

        try:
            execute_from_command_line(sys.argv)
        except OperationalError as error:
            sys.exit(f"gardenos: {database_line(error)}")
        except ProgrammingError as error:
            if line := tables_line(error):
                sys.exit(f"gardenos: {line}")
            raise


if __name__ == "__main__":
    main()
