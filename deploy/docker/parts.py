"""The list of an image's parts, as CycloneDX 1.5 JSON: `python3 parts.py --name NAME > parts.cdx.json`.

Read from what is installed: Debian's packages from dpkg, Python's from the metadata of each folder of
packages (`--python`; by default the interpreter's own). Runs with the standard library alone, inside the
image's build. The form is that of https://cyclonedx.org/docs/1.5/json/; the addresses of packages are
those of https://github.com/package-url/purl-spec.
"""

import argparse
import json
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from typing import Any
from urllib.parse import quote


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the list of an image's parts to standard output.")
    parser.add_argument("--name", required=True, help="name of the image")
    parser.add_argument("--version", default="", help="its version or commit")
    parser.add_argument("--python", action="append", help="a folder of Python packages (may be repeated)")
    asked = parser.parse_args()
    parts = [*debian_parts(), *python_parts(asked.python)]
    json.dump(document(asked.name, asked.version, parts), sys.stdout, indent=1)
    sys.stdout.write("\n")


def document(name: str, version: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The whole list, in a stable order and without the time of day: equal images have equal lists."""
    image = {"type": "container", "name": name} | ({"version": version} if version else {})
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": image},
        "components": sorted(parts, key=lambda part: part["purl"]),
    }


def debian_parts() -> list[dict[str, Any]]:
    """Of dpkg's database. Empty where there is no dpkg."""
    form = "${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\n"
    try:
        said = subprocess.run(  # noqa: S603
            ["dpkg-query", "-W", "-f", form],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
        )
    except FileNotFoundError:
        return []
    rows = [line.split("\t") for line in said.stdout.splitlines()]
    return [
        {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}",
        }
        for status, name, version, architecture in rows
        if status.startswith("ii")
    ]


def python_parts(folders: list[str] | None) -> list[dict[str, Any]]:
    """Of the installed distributions' metadata."""
    found = distributions(path=folders) if folders else distributions()
    return [python_part(each) for each in found]


def python_part(package: Distribution) -> dict[str, Any]:
    name, version = package.metadata["Name"], package.version
    part: dict[str, Any] = {
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{quote(name.lower().replace('_', '-'))}@{quote(version)}",
    }
    licence = package.metadata.json.get("license_expression")
    return part | ({"licenses": [{"expression": licence}]} if licence else {})


if __name__ == "__main__":
    main()
