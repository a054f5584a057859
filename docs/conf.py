"""The documentation site: `make docs`. Tables that can be read off the code are, at each build."""

import inspect
import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gardenos.settings")

project = "GardenOS"
author = "The GardenOS maintainers"
copyright = "2026, The GardenOS maintainers"
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "GardenOS"
html_static_path: list[str] = []
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1a7547", "color-brand-content": "#14653c"},
    "dark_css_variables": {"color-brand-primary": "#46c98a", "color-brand-content": "#63d49c"},
}

GENERATED = DOCS / "_build" / "generated"
ACTIONS = ("crm.actions", "ai_agents.actions")


def setup(app: Any) -> None:
    """Sphinx calls this: the generated tables are written before pages are read."""
    app.connect("builder-inited", write_tables)


def write_tables(app: Any) -> None:
    import django

    django.setup()
    GENERATED.mkdir(parents=True, exist_ok=True)
    (GENERATED / "endpoints.md").write_text(endpoints())
    (GENERATED / "actions.md").write_text(actions())
    (GENERATED / "events.md").write_text(event_table())


def endpoints() -> str:
    """Every address of the API, from its own description."""
    from drf_spectacular.generators import SchemaGenerator

    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    rows = [
        (f"`{method.upper()}`", f"`{path}`", operation.get("summary") or operation.get("description", ""))
        for path, operations in paths.items()
        for method, operation in operations.items()
        if method in {"get", "post", "put", "patch", "delete"}
    ]
    return table(("method", "address", "what it does"), rows)


def actions() -> str:
    """Every function that writes, by module, with the first line of its docstring."""
    parts = []
    for package in ACTIONS:
        folder = Path(str(import_module(package).__path__[0]))
        for path in sorted(folder.glob("[a-z]*.py")):
            module = import_module(f"{package}.{path.stem}")
            rows = [(f"`{name}`", first_line(function)) for name, function in public(module)]
            if rows:
                parts.append(f"## {module.__name__}\n\n{first_line(module)}\n\n{table(('action', ''), rows)}")
    return "\n\n".join(parts)


def event_table() -> str:
    """Every event, its name on the wire and its fields."""
    from crm import events

    rows = [
        (f"`{name}`", f"`{events.wire_name(cls)}`", ", ".join(f"`{f}`" for f in cls.__dataclass_fields__))
        for name, cls in vars(events).items()
        if inspect.isclass(cls) and hasattr(cls, "__dataclass_fields__")
    ]
    return table(("event", "on the wire", "carries"), rows)


def public(module: ModuleType) -> list[tuple[str, Any]]:
    """The module's own functions that open a transaction and that others may call."""
    return [
        (name, function)
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and not name.startswith("_")
        and function.__module__ == module.__name__
        and hasattr(function, "__wrapped__")  # @transaction.atomic
    ]


def first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; text is escaped where it would end a cell or start a link or HTML."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell(text) for text in line) + " |" for line in lines)


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")
