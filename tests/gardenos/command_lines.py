"""Runs many `manage.py` command lines from one process: Python and Django start once, each line is a fork.
Where there are several, what each would import is imported before the first.

Reads a JSON list of argument lists, prints a JSON list of `[exit code, output, errors]`. With CLOSED_STDOUT
the reader of the output is gone before the command starts; INTERRUPT_AT, JSON of command -> text, sends it
SIGINT right after a statement with that text, before it is committed. Standard input is always closed.
"""

import json
import os
import signal
import sys
import tempfile
from typing import Any, BinaryIO


def become(argv: list[str], out: int, err: BinaryIO) -> None:
    """In the child: be this command line. Does not return."""
    os.dup2(out, 1)
    os.dup2(err.fileno(), 2)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    sys.argv = ["manage.py", *argv]
    if text := json.loads(os.environ.get("INTERRUPT_AT", "{}")).get(argv[0]):
        interrupt_after(text)
    code: object = 0
    try:
        import manage

        manage.main()
    except SystemExit as ended:
        code = ended.code
        if isinstance(code, str):
            sys.stderr.write(f"{code}\n")
            code = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = code or 120  # what Python itself ends with
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


def interrupt_after(text: str) -> None:
    from django.db.backends.signals import connection_created

    def watched(execute: Any, sql: str, *rest: Any) -> Any:
        done = execute(sql, *rest)
        if text in str(sql):
            os.kill(os.getpid(), signal.SIGINT)
        return done

    def watch(connection: Any, **_rest: Any) -> None:
        connection.execute_wrappers.append(watched)

    connection_created.connect(watch, weak=False)


def warm_up() -> None:
    from django.core.management import get_commands, load_command_class
    from django.urls import get_resolver

    for name, app in get_commands().items():
        if app in {"gardenos", "crm", "ai_agents"}:
            load_command_class(app, name)
    _ = get_resolver().url_patterns


def run(argv: list[str]) -> tuple[int, str, str]:
    with tempfile.TemporaryFile() as kept, tempfile.TemporaryFile() as err:
        out, gone = kept.fileno(), -1
        if os.environ.get("CLOSED_STDOUT"):
            gone, out = os.pipe()
            os.close(gone)
        child = os.fork()
        if not child:
            become(argv, out, err)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if gone != -1:
            os.close(out)
        kept.seek(0)
        err.seek(0)
        return code, kept.read().decode(errors="replace"), err.read().decode(errors="replace")


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gardenos.settings")
    import django

    django.setup()
    lines = json.load(sys.stdin)
    if len(lines) > 1:
        warm_up()
    print(json.dumps([run(argv) for argv in lines]))
