"""What each path of Stripe's API leads to: the kinds that it is about, and what its methods do.

The document names the paths. One begins as the list of a kind or of a view does; then comes an id, a verb, or
both. What answers with an object that no list has is about that object alone: it is remembered, and tells
nobody."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final
from urllib.parse import unquote

from sandbox.stripe import facts
from sandbox.stripe.facts import Shape, shape_of
from sandbox.stripe.filters import Filter
from sandbox.stripe.kind import Kind
from sandbox.stripe.kinds import KINDS, NAMED, VIEWS, completed
from sandbox.stripe.rules import DEFAULTS, UNDOCUMENTED, Rule, rule_of, verb

SEARCHED: Final = ("charge", "customer", "invoice", "payment_intent", "price", "product", "subscription")
"""The kinds that can be searched."""
_OLDER: Final = (
    (re.compile("^/v1/linked_accounts"), "/v1/financial_connections/accounts"),
    (re.compile("^/v1/link_account_sessions"), "/v1/financial_connections/sessions"),
    (re.compile("^/v1/balance/history"), "/v1/balance_transactions"),
    (re.compile("^(/v1/accounts/[^/]+)/bank_accounts"), r"\1/external_accounts"),
)
"""Names that paths had, and still answer to."""
_LETTERS: Final = {"L": "GET", "C": "POST", "R": "GET", "U": "POST", "D": "DELETE"}
_VERBS: Final = {"C": "create", "U": "update", "D": "delete"}


@cache
def present(path: str) -> str:
    """A path by the name that it has today."""
    for older, name in _OLDER:
        path = older.sub(name, path)
    return path


@dataclass(frozen=True)
class Target:
    """What a path leads to. `kinds` are what it lists; `parent` is the kind that its first id belongs to, if
    any; `ops` are the letters of what can be done there, S is a search. `rules` are what its methods do.
    `part`: the object is the one that the parent's field of this name has. `verb` is what follows the id.
    `lone`: no list has the objects."""

    kinds: tuple[Kind, ...]
    filters: tuple[Filter, ...] = ()
    parent: str = ""
    ops: str = ""
    item: bool = False
    rules: Mapping[str, Rule] = field(default_factory=dict)
    part: str = ""
    verb: str = ""
    lone: bool = False

    def takes(self, method: str) -> bool:
        reads = method == "GET" and not {"L", "R", "S"}.isdisjoint(self.ops)
        return reads or method in self.rules


def _rule(verb_name: str, kinds: Sequence[Kind]) -> Rule | None:
    return next(filter(None, (rule_of(verb_name, row.name) for row in kinds)), None)


def _plain(home: Target, ops: str, item: bool) -> Target:
    """A list, or an object of it."""
    letters = "RUD" if item else "LC"
    rules = {
        _LETTERS[op]: _rule(_VERBS[op], home.kinds) or DEFAULTS[op]
        for op in letters
        if op in ops and op in _VERBS
    }
    filters = () if item else home.filters
    return replace(
        home, ops="".join(op for op in letters if op in ops), filters=filters, item=item, rules=rules
    )


def _homes() -> dict[Shape, tuple[Target, str]]:
    """Where objects are listed, and the letters of what can be done there."""
    found: dict[Shape, tuple[Target, str]] = {}
    for row in KINDS.values():
        if row.path:
            parent = row.parent.kind if row.parent and "{" in row.path else ""
            found[shape_of(row.path)] = Target((row,), row.filters, parent), row.ops
    for view in VIEWS:
        kinds = tuple(KINDS[kind] for kind in view.kinds)
        found[shape_of(view.path)] = Target(kinds, view.filters, view.parent), view.ops
    return found


def _targets() -> dict[Shape, Target]:
    """Every path of the API by its segments, ids as `{}`."""
    homes, table = _homes(), dict[Shape, Target]()
    for shape, (home, ops) in homes.items():
        table[shape], table[(*shape, "{}")] = _plain(home, ops, False), _plain(home, ops, True)
    for name in SEARCHED:
        table[(*shape_of(KINDS[name].path), "search")] = Target((KINDS[name],), ops="S")
    every = [(method, shape, facts.answers(method, shape)) for method, shape in sorted(facts.methods())]
    for method, shape, names in every:
        older = present(path := "/" + "/".join(shape)) != path
        if shape[0] == "v1" and names and not older and not (shape in table and table[shape].takes(method)):
            found = _derived(homes, method, shape, names)
            if found and (old := table.get(shape)):
                found = replace(old, ops=old.ops + found.ops, rules={**old.rules, **found.rules})
            table |= {shape: found} if found else {}
    for name in UNDOCUMENTED:
        method, path = name.split()
        *way, last = path.partition("}")[2].strip("/").split("/")
        (kind,) = re.findall(r"{([\w.]+)}", path)
        rule = rule_of("_".join([*way, last]), kind) or DEFAULTS["U"]
        table[shape_of(path)] = Target((KINDS[kind],), item=True, rules={method: rule})
    return table


def _derived(
    homes: Mapping[Shape, tuple[Target, str]], method: str, shape: Shape, names: Sequence[str]
) -> Target | None:
    """What a path that no list has leads to, and what its method does."""
    helped = tuple(part for part in shape if part != "test_helpers")
    starts = [
        each[:end] for each in (shape, helped) for end in range(len(each), 0, -1) if each[:end] in homes
    ]
    known = [KINDS[kind] for name in names for kind in NAMED.get(name, ())]
    if not starts or not known:
        return _lone(starts[0] if starts else (), homes, method, shape, names[0])
    start = starts[0]
    home, _ = homes[start]
    rest = (shape if shape[: len(start)] == start else helped)[len(start) :]
    item = rest[:1] == ("{}",)
    words = [part for part in rest if part != "{}"]
    if not words:
        op = {"POST": "U" if item else "C", "DELETE": "D", "GET": "R"}[method]
        return _plain(home, op, item)
    called = "_".join(words)
    rule = _rule(called, home.kinds)
    if rule or any(row in home.kinds for row in known):
        rule = rule or (verb(home.kinds[0], words) if item else DEFAULTS["C"])
        changes = method != "GET"
        return replace(home, filters=(), item=item, verb=called, rules={method: rule}) if changes else None
    if not item:
        return None
    part = Target(
        (known[0],), parent=home.kinds[0].name, item=True, part=words[0], ops="R" * (method == "GET")
    )
    op = {"POST": "U", "DELETE": "D"}.get(method, "")
    named = "_".join(words[1:]) or _VERBS.get(op, "")
    found = _rule(named, part.kinds) or (DEFAULTS[op] if op else None)
    return replace(part, rules={method: found} if found else {})


def _lone(
    start: Shape, homes: Mapping[Shape, tuple[Target, str]], method: str, shape: Shape, name: str
) -> Target:
    """What is about an object that no list has."""
    parent = homes[start][0].kinds[0].name if start and shape[len(start) :][:1] == ("{}",) else ""
    row = completed(Kind(name, name.replace(".", "_").rpartition("_")[2], path=""))
    ops, item = "R" * (method == "GET"), shape[-1] == "{}"
    return Target(
        (row,), parent=parent, ops=ops, item=item, rules={} if ops else {method: DEFAULTS["C"]}, lone=True
    )


TARGETS: Final = _targets()
_LITERALS = frozenset(part for shape in TARGETS for part in shape)


def match(path: str) -> tuple[Target, list[str]] | None:
    """What a path leads to, and the ids in it."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    exact = tuple(parts)
    if exact in TARGETS and "{}" not in exact:
        return TARGETS[exact], []
    for shape in _shapes(parts):
        if target := TARGETS.get(shape):
            return target, [part for part, name in zip(parts, shape, strict=True) if name == "{}"]
    return None


def _shapes(parts: Sequence[str]) -> list[Shape]:
    """The shapes that a path may have: an id can be spelled like a segment."""
    shapes: list[Shape] = [()]
    for part in parts:
        literal = [(*shape, part) for shape in shapes] if part in _LITERALS else []
        shapes = literal + [(*shape, "{}") for shape in shapes]
    return shapes


def shape_at(path: str) -> Shape:
    """A path's segments, with `{}` in place of ids."""
    parts = path.strip("/").split("/")
    return next((shape for shape in [tuple(parts), *_shapes(parts)] if shape in TARGETS), tuple(parts))


def endpoint(method: str, path: str) -> str:
    """Method and path with ids replaced by `{}`: what Stripe counts a rate limit by."""
    return f"{method} /{'/'.join(shape_at(path))}"
