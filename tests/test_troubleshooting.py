"""docs/troubleshooting.md explains every message of the connector, and no message that does not exist."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

from source_stripe_native import errors
from source_stripe_native.flow import log_lines as one_line
from tests.documentation import ROOT, rows

PAGE: Final = "docs/troubleshooting.md"
HEADER: Final = "| message | what it means | what to do |"

PACKAGES: Final = ("source_stripe_native", "sandbox")
"""Those that the page is about. All messages of the first one are explained, and some of the second."""
RAISED: Final = {"ConnectorError", "ClickException", "SystemExit", "KnownFailure"}
"""Calls with a message as an argument: of errors that a person reads,"""
LOGGED: Final = {"warning", "error", "explain", "advise"}
"""and methods."""
BUILDERS: Final = {
    "_denial",
    "explain",
    "explain_config",
    "last_line",
    "missing_permission",
    "outside_versions",
    "read_requests",
}
"""Functions whose texts are messages or parts of them."""
FEWEST_WORDS: Final = 4
"""A shorter text is a part of a message."""
LEAST_WORDS: Final = 3
"""Of a message on the page, for it to be found there and not to stand for others."""
ANYTHING: Final = "…"
"""Stands for a value in a message."""


@cache
def messages() -> list[str]:
    """The messages of the connector's code, with `ANYTHING` in the place of values."""
    found: dict[str, None] = {}
    for path in sorted((ROOT / "source_stripe_native").rglob("*.py")):
        module = import_module(module_of(path))
        for each in texts(ast.parse(path.read_text()), module):
            if len([word for word in each.split() if ANYTHING not in word]) >= FEWEST_WORDS:
                found[each] = None
    return list(found)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def texts(tree: ast.Module, module: ModuleType) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in BUILDERS:
            has_docstring = ast.get_docstring(node) is not None
            for statement in node.body[has_docstring:]:
                yield from texts_in(statement, module)
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            is_message = name in RAISED or (name in LOGGED and isinstance(node.func, ast.Attribute))
            wanted = [*node.args] if is_message else []
            for each in (*wanted, *(keyword.value for keyword in node.keywords if keyword.arg == "advice")):
                if (text := text_of(each, module)) is not None:
                    yield text


def texts_in(node: ast.AST, module: ModuleType) -> Iterator[str]:
    """The texts that are written out in a statement, but for lists of words."""
    if isinstance(node, ast.Constant | ast.JoinedStr):
        if (text := text_of(node, module)) is not None:
            yield text
    elif not isinstance(node, ast.Tuple):
        for each in ast.iter_child_nodes(node):
            yield from texts_in(each, module)


def text_of(node: ast.AST, module: ModuleType) -> str | None:
    """The text of an expression, None where it is none. A constant of the module is its value."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name) if isinstance(value := getattr(module, name, None), str):
            return value
        case ast.JoinedStr(values=parts):
            return "".join(text_of(each, module) or ANYTHING for each in parts)
        case ast.FormattedValue(value=inner):
            return text_of(inner, module)
    return None


@cache
def explained() -> dict[str, re.Pattern[str]]:
    """The messages of the page, as patterns for the beginning of the connector's. `...` stands for
    anything."""
    quoted = [each[1:-1] for message, *_ in rows(PAGE, HEADER) for each in re.findall(r"`[^`]+`", message)]
    return {each: re.compile(re.escape(each).replace(re.escape("..."), ".+?")) for each in quoted}


def test_every_message_is_explained() -> None:
    patterns = explained().values()
    missing = [each for each in messages() if not any(pattern.match(each) for pattern in patterns)]
    assert missing == [], f"{PAGE} lacks these messages"


def test_every_message_that_is_explained_exists() -> None:
    """Some texts reach a log by way of a variable, so that they are not among `messages`."""
    written = []
    for path in (each for package in PACKAGES for each in (ROOT / package).rglob("*.py")):
        module = import_module(module_of(path))
        written += [text for each in ast.walk(ast.parse(path.read_text())) if (text := text_of(each, module))]
    stale = [quoted for quoted, each in explained().items() if not any(map(each.match, written))]
    assert stale == []


def test_no_pattern_takes_in_messages_that_it_is_not_about() -> None:
    vague = [each for each in explained() if len(re.findall(r"[\w']{2,}", each)) < LEAST_WORDS]
    assert vague == []


def test_the_tables_of_errors_are_among_the_messages() -> None:
    advice = {row.advice for row in errors.EXPLAINED} | {row.advice for row in one_line.KNOWN}
    assert advice <= set(messages())
    assert any(each.startswith(one_line.MISTAKE) for each in messages())


def test_every_message_has_a_meaning_and_a_remedy() -> None:
    for message, meaning, remedy in rows(PAGE, HEADER):
        assert re.fullmatch(r"`[^`]+`(<br>`[^`]+`)*", message), message
        assert meaning.endswith((".", ")")), message
        assert remedy.endswith((".", ")")), message
