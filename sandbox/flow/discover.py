"""`raw discover`: prints what a connector finds, or writes it into the catalog's files.

Written are the capture's bindings, and a collection for each. What a user chose stays: a binding that is
there keeps its resource, target, disable and backfill, a collection keeps its file, and every file its
comments. Bindings that the connector no longer finds are taken out; their collections stay.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from sandbox.flow import yamls
from sandbox.flow.connector import Json
from sandbox.flow.session import Capture, resource_path

_FIELDS = ("recommendedName", "resourceConfig", "documentSchema", "key", "disable", "isFallbackKey")
_LARGEST_INLINE = 512  # bytes of a schema's JSON


async def raw_lines(capture: Capture) -> bytes:
    """One line for each binding found; a flag that is false is left out."""
    found = await capture.discover()
    told = [{name: b[name] for name in _FIELDS if b.get(name) not in (None, False)} for b in found]
    return b"".join(orjson.dumps(binding, option=orjson.OPT_APPEND_NEWLINE) for binding in told)


async def write_specifications(capture: Capture, *, flat: bool) -> int:
    """Writes what is found. Returns how many captures and collections that made.

    A new collection goes to `acmeCo/flow.yaml` next to the source, which is made to import it, if the
    capture's name begins with `acmeCo/`; with `flat`, to the capture's own file.
    """
    pointers = await capture.pointers()
    found = await capture.discover()
    catalog, files = capture.catalog, _Files()
    targets = _write_bindings(files, capture, found, pointers)
    for target, binding in targets.items():
        path = catalog.source.parent / target.rpartition("/")[0] / "flow.yaml"
        if flat or target in catalog.origins:
            path = catalog.origins.get(target, catalog.origins[capture.name])
        _write_collection(files, path, target, binding)
        if path.resolve() not in {file.resolve() for file in (*catalog.files, *files.imported)}:
            _write_import(files, catalog.source, path)
    files.save()
    return 1 + len(targets)


class _Files:
    """The texts of files, edited in memory and saved together."""

    def __init__(self) -> None:
        self._texts: dict[Path, str] = {}
        self._parsed: dict[Path, Any] = {}
        self._changed: set[Path] = set()
        self.imported: list[Path] = []

    def __getitem__(self, path: Path) -> str:
        if path not in self._texts:
            self._texts[path] = yamls.read(path) if path.exists() else ""
        return self._texts[path]

    def __setitem__(self, path: Path, text: str) -> None:
        self._texts[path] = text
        self._parsed.pop(path, None)
        self._changed.add(path)

    def parsed(self, path: Path) -> Any:
        if path not in self._parsed:
            self._parsed[path] = yamls.parse(self[path], str(path)) or {}
        return self._parsed[path]

    def save(self) -> None:
        for path in self._changed:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._texts[path], encoding="utf-8")


def _write_bindings(
    files: _Files, capture: Capture, found: Sequence[Json], pointers: Sequence[str]
) -> Mapping[str, Json]:
    """Makes the capture's bindings those that were found. Returns what was found, by collection.

    A new binding comes after the one that it follows in what was found.
    """
    bindings = capture.model.bindings
    had = {tuple(resource_path(b.resource, pointers)): index for index, b in enumerate(bindings)}
    paths = [tuple(resource_path(b["resourceConfig"], pointers)) for b in found]
    items: list[int | Json] = [index for path, index in had.items() if path in paths]
    targets: dict[str, Json] = {}
    position = 0
    for path, binding in zip(paths, found, strict=True):
        if path in had:
            position = items.index(had[path]) + 1
            targets[bindings[had[path]].target] = binding
            continue
        target = f"{capture.name.rpartition('/')[0]}/{binding['recommendedName']}"
        disable = {"disable": True} if binding.get("disable") else {}
        items.insert(position, {"resource": binding["resourceConfig"], "target": target, **disable})
        position += 1
        targets[target] = binding
    if items != list(range(len(bindings))):
        home = capture.catalog.origins[capture.name]
        files[home] = yamls.with_items(files[home], ("captures", capture.name, "bindings"), items)
    return targets


def _write_collection(files: _Files, path: Path, target: str, binding: Json) -> None:
    had = files.parsed(path).get("collections", {}).get(target, {})
    field = "writeSchema" if "writeSchema" in had else "schema"
    schema, place = binding["documentSchema"], had.get(field)
    if not isinstance(place, str):
        is_large = len(orjson.dumps(schema)) > _LARGEST_INLINE
        place = f"{target.rpartition('/')[2]}.schema.yaml" if is_large else schema
    if isinstance(place, str) and files.parsed(path.parent / place) != schema:
        files[path.parent / place] = yamls.dump(schema)
    wanted = {field: place, "key": binding["key"]}
    if not had:
        files[path] = yamls.with_value(files[path], ("collections", target), wanted)
        return
    for name, value in wanted.items():
        if had.get(name) != value:
            files[path] = yamls.with_value(files[path], ("collections", target, name), value)


def _write_import(files: _Files, source: Path, path: Path) -> None:
    relative = Path(os.path.relpath(path, source.parent)).as_posix()
    count = len(files.parsed(source).get("import") or [])
    if count:
        files[source] = yamls.with_items(files[source], ("import",), [*range(count), relative])
    else:
        files[source] = yamls.with_value(files[source], ("import",), [relative], first=True)
    files.imported.append(path)
