"""Documents as a table that fits into a terminal: for a first look, where a line of JSON is a wall.

The key comes first, then the fields that are no objects and no lists, and that differ from document to
document. As many are shown as there is room for, the account first, and texts are cut. Pure.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from sandbox.flow.document import Document, KeyLocation, located

_LONGEST = 28  # characters of a value
_GAP = "  "


def table_lines(
    collection: str, key: Sequence[KeyLocation], documents: Sequence[Document], width: int
) -> Iterator[str]:
    """A line of titles, a line for each document, and an empty one; all of `width` characters at most."""
    yield f"{collection}: {len(documents)} document{'' if len(documents) == 1 else 's'}"[:width]
    columns = _columns(key, documents)
    room, shown = width, list[tuple[str, list[str]]]()
    for title, values in columns:
        needed = max(map(len, [title, *values])) + (len(_GAP) if shown else 0)
        if needed <= room or not shown:
            shown.append((title, values))
            room -= needed
    widths = [max(map(len, [title, *values])) for title, values in shown]
    for row in zip(*([title, *values] for title, values in shown), strict=True):
        yield _GAP.join(cell.ljust(size) for cell, size in zip(row, widths, strict=True))[:width].rstrip()
    yield ""


def _columns(key: Sequence[KeyLocation], documents: Sequence[Document]) -> list[tuple[str, list[str]]]:
    """Titles and values: the key, then what differs, or all that a single document has."""
    keys = [each.pointer.removeprefix("/") for each in key if each.pointer.count("/") == 1]
    names = dict.fromkeys(name for document in documents for name in document)
    plain = [name for name in names if not any(_is_nested(each.get(name)) for each in documents)]
    filled = [name for name in plain if any(each.get(name) is not None for each in documents)]
    if len(documents) > 1:
        filled = [name for name in filled if len({str(each.get(name)) for each in documents}) > 1]
    filled.sort(key=lambda name: name != "account_id")
    if any(located(each, "/_meta/op") == "d" for each in documents):
        keys = [*keys, "_meta"]
    return [
        (name.removeprefix("_meta") or "op", [_cell(each, name) for each in documents])
        for name in dict.fromkeys([*keys, *filled])
    ]


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def _cell(document: Document, name: str) -> str:
    value = located(document, "/_meta/op") if name == "_meta" else document.get(name)
    text = value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
