"""YAML 1.2 as Flow reads it, and edits of a YAML text that leave every other byte of it alone.

A file's comments and layout are its author's, so an edit replaces the lines of the value that changed; new
lines are indented by two. Inside a flow collection (`{a: 1}`) a value can be replaced, but none added.
"""

import functools
import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from sandbox.flow.errors import CatalogError


class _Constructor(SafeConstructor):
    """JSON has no dates: a timestamp is the string that it is written as."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)


def load(path: Path) -> Any:
    """The JSON value that a YAML or JSON file holds. Raises CatalogError, naming the file and the line."""
    return parse(read(path), str(path))


def parse(text: str, name: str) -> Any:
    """The JSON value of a YAML text that errors call `name`."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    try:
        value = yaml.load(text)
        orjson.dumps(value)
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise CatalogError(f"{name}{line}: {error.problem}") from error
    except (YAMLError, TypeError) as error:
        raise CatalogError(f"{name}: is not JSON written as YAML: {' '.join(str(error).split())}") from error
    return value


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CatalogError(f"can't read {path}: {reason}") from error


def dump(value: Any) -> str:
    """A block of YAML, in the order of its members, at the left margin."""
    yaml = YAML(typ="rt", pure=True)
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 1 << 16
    yaml.representer.ignore_aliases = lambda _: True  # equal parts are written out: an alias is no JSON
    text = io.StringIO()
    yaml.dump(value, text)
    return textwrap.dedent(text.getvalue())


def with_value(text: str, path: Sequence[str], value: Any, *, first: bool = False) -> str:
    """`text` with the member at `path` of its mappings set. A new one goes last in its mapping, or first."""
    node, depth = _compose(text), 0
    while isinstance(node, MappingNode) and (member := _member(node, path[depth])):
        key, inner = member
        depth += 1
        if depth == len(path):
            begin, end = key.start_mark.index, _end(key, inner).offset
            if node.flow_style:  # which JSON is, too
                begin, block = inner.start_mark.index, orjson.dumps(value).decode()
            else:
                block = _indented(dump({path[-1]: value}), key.start_mark.column).strip()
            return text[:begin] + block + text[end:]
        node = inner
    if node is None:
        return _spliced([text], 1, 1, [dump(_nested(path, value))])
    if node.tag == "tag:yaml.org,2002:null" or (isinstance(node, MappingNode) and not node.value):
        rest = _nested(path[depth:], value)
        return with_value(text, path[:depth], rest) if depth else dump(rest)
    if not isinstance(node, MappingNode) or node.flow_style:
        raise CatalogError(
            f"{'/'.join(path)} can't be added: write {'/'.join(path[:depth])} as a block of YAML"
        )
    at = node.value[0][0].start_mark.line if first else _last_line(*node.value[-1]) + 1
    lines = text.splitlines(keepends=True)
    return _spliced(lines, at, at, [_indented(dump(_nested(path[depth:], value)), node.start_mark.column)])


def with_items(text: str, path: Sequence[str], items: Sequence[int | dict[str, Any] | str]) -> str:
    """`text` with the sequence at `path` made of `items`.

    An int is an item that it had, which keeps its lines and the comment lines above them; anything else is
    new.
    """
    key, node = None, _compose(text)
    for name in path:
        key, node = (isinstance(node, MappingNode) and _member(node, name)) or (None, None)
    if key is None or not isinstance(node, SequenceNode) or node.flow_style or not items:
        had = functools.reduce(lambda value, name: (value or {}).get(name), path, parse(text, "/".join(path)))
        return with_value(text, path, [had[item] if isinstance(item, int) else item for item in items])
    lines = text.splitlines(keepends=True)
    begin = end = key.end_mark.line + 1
    blocks = []
    for item in node.value:
        after = _last_line(item, item) + 1
        blocks.append("".join(lines[end:after]))
        end = after
    column = node.start_mark.column
    made = [blocks[item] if isinstance(item, int) else _indented(dump([item]), column) for item in items]
    return _spliced(lines, begin, end, made)


def _compose(text: str) -> Node | None:
    node: Node | None = YAML(typ="safe", pure=True).compose(text)
    return node


def _member(node: MappingNode, name: str) -> tuple[Node, Node] | None:
    return next(((key, value) for key, value in node.value if key.value == name), None)


def _nested(path: Sequence[str], value: Any) -> Any:
    for name in reversed(path):
        value = {name: value}
    return value


class _Place(NamedTuple):
    offset: int
    line: int
    column: int


def _end(key: Node, value: Node) -> _Place:
    """Where a value's text ends. (The parser lets a block end where the next begins, after the comments.)"""
    if isinstance(value, MappingNode) and not value.flow_style:
        return _end(*value.value[-1])
    if isinstance(value, SequenceNode) and not value.flow_style:
        return _end(value.value[-1], value.value[-1])
    mark, colon = value.end_mark, 0
    if value.start_mark.index == mark.index:  # nothing is written after the key
        mark, colon = key.end_mark, 1
    return _Place(mark.index + colon, mark.line, mark.column + colon)


def _last_line(key: Node, value: Node) -> int:
    end = _end(key, value)
    return end.line - 1 if end.column == 0 else end.line  # a block scalar ends where the next line begins


def _indented(block: str, columns: int) -> str:
    return textwrap.indent(block, " " * columns)


def _spliced(lines: Sequence[str], begin: int, end: int, blocks: Sequence[str]) -> str:
    parts = ["".join(lines[:begin]), *blocks, "".join(lines[end:])]
    return "".join(part if part.endswith("\n") else f"{part}\n" for part in parts if part)
