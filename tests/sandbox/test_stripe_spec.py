"""Every row of the resource table holds against the facts of Stripe's OpenAPI document."""

import itertools
import re
from collections.abc import Set
from functools import cache
from random import Random
from typing import Any

import jsonschema_rs
import orjson
import pytest

from sandbox.stripe import World, facts, v2
from sandbox.stripe.filters import PAGING
from sandbox.stripe.kind import Events, Kind
from sandbox.stripe.kinds import KINDS, NAMED, VIEWS
from sandbox.stripe.paths import TARGETS, present
from sandbox.stripe.routes import Api, Request
from tests.documented import filled
from tools.facts import stripe_facts

NOW = 1_750_000_000
METHODS = {
    "L": ("get", ""),
    "C": ("post", ""),
    "R": ("get", "/{}"),
    "U": ("post", "/{}"),
    "D": ("delete", "/{}"),
}


def shape(path: str) -> str:
    return re.sub(r"{\w*}", "{}", path)


@cache
def paths() -> dict[str, Any]:
    return {shape(path): methods for path, methods in stripe_facts()["paths"].items()}


@cache
def schemas() -> Any:
    """As JSON Schema, which says `nullable` otherwise, and closed: a field must be one of Stripe's."""

    def translate(schema: Any) -> Any:
        if isinstance(schema, list):
            return [translate(item) for item in schema]
        if not isinstance(schema, dict):
            return schema
        kept = schema.keys() - {"nullable"}
        inner = {key: translate(schema[key]) for key in kept}
        if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
            inner.setdefault("additionalProperties", False)
        return {"anyOf": [inner, {"type": "null"}]} if schema.get("nullable") is True else inner

    return {name: translate(schema) for name, schema in stripe_facts()["schemas"].items()}


@cache
def validator(object_name: str) -> Any:
    """Of the schemas that the object's reaches, and no others."""
    wanted, found = [object_name], dict[str, Any]()
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = schemas()[name]
            wanted += re.findall(r'"#/components/schemas/([\w.]+)"', orjson.dumps(found[name]).decode())
    root = {"$ref": f"#/components/schemas/{object_name}", "components": {"schemas": found}}
    return jsonschema_rs.validator_for(root)


def test_validation_finds_wrong_missing_and_unknown_fields() -> None:
    price = World(now=NOW).create("price")
    for wrong in ({"type": "weekly"}, {"unit_amount": "5"}, {"colour": "red"}, {"product": None}):
        assert not validator("price").is_valid(price | wrong)
    del price["currency"]
    assert not validator("price").is_valid(price)


def rows() -> list[Any]:
    return [pytest.param(row, id=name) for name, row in KINDS.items()]


def types(events: Events) -> list[str]:
    """The event types of a row; those that name a field with every status that the rows know."""
    named = [events.created, events.updated, events.deleted, *(move.event for move in events.moves)]
    return " ".join(filter(None, named)).split()


def test_paths_parameters_and_actions_are_stripes() -> None:
    for row in KINDS.values():
        check_path(row)


def check_path(row: Kind) -> None:
    for verb in row.actions:
        assert "post" in paths()[f"{shape(row.path)}/{{}}/{verb}"]
    if not row.path or row.gone_in:
        assert row.gone_in or not row.ops or any(row.name in view.kinds for view in VIEWS)
        return
    for op in row.ops:
        method, item = METHODS[op]
        assert method in paths()[shape(row.path) + item], (op, row.path)
    if "L" in row.ops:
        of_v2 = {"limit", "include"} & paths()[shape(row.path)]["get"]["query"].keys()
        paging = of_v2 if row.path.startswith(v2.PATH) else PAGING if row.paged else {"expand"}
        compare_parameters(row.path, row.filters, paging)


@pytest.mark.parametrize("view", [pytest.param(view, id=view.path) for view in VIEWS])
def test_views_are_stripes(view: Any) -> None:
    for op in view.ops:
        method, item = METHODS[op]
        assert method in paths()[shape(view.path) + item], (op, view.path)
    if "L" in view.ops:
        compare_parameters(view.path, view.filters, PAGING)


def compare_parameters(path: str, filters: tuple[Any, ...], paging: Set[str]) -> None:
    asked = paths()[shape(path)]["get"]["query"]
    assert {f.param for f in filters if f.param} | paging == asked.keys() | ({"ending_before"} & paging)
    required = {name for name, parameter in asked.items() if "required" in parameter}
    assert {f.param for f in filters if f.required} == required


@pytest.mark.parametrize("row", rows())
def test_event_types_are_stripes(row: Kind) -> None:
    known = {*stripe_facts()["event_types"], *itertools.chain(*stripe_facts()["thin_event_types"].values())}
    for type in types(row.events):
        if "{" not in type:
            assert type in known
    world, rng = World(now=NOW, effects=True), Random(0)
    world.connect()
    for _ in range(30):
        if row.name not in ("event", "account"):
            world.random_change(rng, [row.name])
    told = [event["type"] for account in world.accounts for event in world.events(account)]
    assert set(told) <= set(known)


def test_deleted_objects_that_stripe_still_answers_with_leave_a_stub() -> None:
    for row in KINDS.values():
        if "R" in row.ops and row.path and not row.gone_in:
            answers = paths()[shape(row.path) + "/{}"]["get"]["returns"]
            assert row.stub == any(each.startswith("deleted_") for each in answers), row.name


@pytest.mark.parametrize("row", [each for each in rows() if not KINDS[each.id].gone_in])
def test_objects_have_stripes_fields(row: Kind) -> None:
    """Stripe's document describes the newest version, so it lacks what is gone in that one."""
    world = World(now=NOW, effects=True)
    world.connect()
    account = world.accounts[-1]
    if row.name not in ("event", "account"):
        world.create(row.name, account)
        for nested in row.nested:
            many: dict[str, Any] = {nested.field: 12}
            world.create(row.name, account, **many)
    objects = world.list_all(row.name, account) + world.events(account)
    rng = Random(0)
    for _ in range(20):
        world.random_change(rng, [row.name] if row.name not in ("event", "account") else None)
    objects += world.list_all(row.name)
    changed = {effect.kind for effect in row.effects} | ({row.pulls.kind} if row.pulls else set())
    for name in changed | {kind for container in row.holders for kind in container.kinds}:
        objects += world.list_all(name, account) + world.list_all(name)
    assert objects
    for data in (v2.shown(row, each) for each in objects) if row.path.startswith(v2.PATH) else objects:
        data.pop("related_object", None)  # that of an event stands in its type's own class
        if data["object"] == "balance":
            data.pop("id", None)
        errors = [
            f"{'/'.join(map(str, error.instance_path))}: {error.message}"
            for error in validator(data["object"]).iter_errors(data)
        ]
        assert errors == []


def test_children_name_a_parent_that_exists_unless_they_outlive_it() -> None:
    world, rng = World(now=NOW, effects=True), Random(1)
    for _ in range(400):
        world.random_change(rng)
    for name, row in KINDS.items():
        if row.parent and row.parent.named and not row.cancels:
            for data in world.list_all(name):
                assert data[row.parent.field] is None or world.get(row.parent.kind, data[row.parent.field])


def least(kind: Any, name: str, world: World) -> list[tuple[str, str]]:
    """The pairs of a form that are needed for a value of a type, with ids of objects."""
    if isinstance(kind, list):
        return least(kind[0], f"{name}[0]", world)
    if isinstance(kind, dict):
        for sign in ("?", "|"):
            if sign in kind:
                return least(kind[sign][0] if sign == "|" else kind[sign], name, world)
        if "=" in kind:
            return [(name, kind["="][0])]
        needed = [(each[:-1], inner) for each, inner in kind.items() if each[-1] == "!"]
        return [pair for each, inner in needed for pair in least(inner, f"{name}[{each}]", world)]
    last = re.findall(r"[a-z_]+", name)[-1]
    kinds = [one for each in facts.named_after().get(last, ()) for one in NAMED.get(each, ())]
    ids = [table.order[-1].id for one in kinds if (table := world.table(one)).order]
    texts = {"boolean": "true", "integer": "5", "number": "5.5", "decimal": "5.5", "map": ""}
    return [(name, ids[0] if ids else {"currency": "usd"}.get(last, texts.get(kind, "x")))]


NO = {
    ("GET", ("v1", "apps", "secrets", "find")): "a secret can be found in the list",
    ("GET", ("v1", "credit_notes", "preview")): "nothing of a preview is ever captured",
    ("GET", ("v1", "credit_notes", "preview", "lines")): "nothing of a preview is ever captured",
    ("GET", ("v1", "quotes", "{}", "pdf")): "no object but a file",
}
"""What of v1 is not there, and why. Of v2 nothing is: its forms are JSON, and no stream reads it."""


def test_a_path_takes_the_methods_that_the_document_has() -> None:
    wrong = []
    for shape in {shape for _, shape in facts.methods() if shape[0] == "v1" and shape[1:] != ("balance",)}:
        target = TARGETS.get(facts.shape_of(present("/" + "/".join(shape))))
        for method in ("GET", "POST", "DELETE"):
            takes = target is not None and target.takes(method)
            if takes != ((method, shape) in facts.methods()) and (method, shape) not in NO:
                wrong.append((method, shape))
    # The list goes by another name now, where it can be read.
    assert wrong == [("GET", ("v1", "accounts", "{}", "bank_accounts"))]


def test_every_documented_method_answers_with_an_object_of_stripes() -> None:
    """Or with an error that says why not. Of what only POST answers with, the facts have no schema."""
    world, refused, wrong, made = World(now=NOW), list[str](), list[str](), 0
    for kind in sorted(KINDS.keys() - {"event", "account", "person"}):
        world.create(kind)
    api, headers = Api(world), {"authorization": f"Bearer {world.key}"}
    for method, shape in sorted(each for each in facts.methods() if each[1][0] == "v1" and each not in NO):
        path, form = filled(shape, world), facts.forms().get((method, shape), {})
        pairs = [pair for name in form if name[-1] == "!" for pair in least(form[name], name[:-1], world)]
        sent, query = (pairs, []) if method == "POST" else ([], pairs)
        answer = api.answer(Request(method, f"/{path}", query, headers, sent))
        data = orjson.loads(answer.body)
        if answer.status != 200:
            refused.append(f"{path}: {data['error']['message']}")
        made += answer.status == 200
        lone = method == "POST" and TARGETS[facts.shape_of(present("/" + "/".join(shape)))].lone
        if answer.status == 200 and lone and "required" in facts.schema(data["object"]):
            errors = [each.message for each in validator(data["object"]).iter_errors(data)]
            wrong += [f"{path}: {each}" for each in errors]
    assert wrong == [], wrong
    assert [each for each in refused if re.search("Unrecognized request URL|unknown param", each)] == []
    assert made > 400
