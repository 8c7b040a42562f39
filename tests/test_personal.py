"""Personal data is redacted wherever it may stand, and nothing else is.

What is personal is one table, which names every text field of Stripe's objects. The objects here are made of
the facts about Stripe: each text says in its value whether the table has it as personal.
"""

import hashlib
import json
from copy import deepcopy
from functools import cache
from typing import Any, Final, get_args

import pytest

from sandbox.flow import yamls
from sandbox.flow.document import redacted
from sandbox.flow.schema import Schema
from sandbox.stripe import StripeServer, World
from sandbox.stripe.kinds import KINDS
from source_stripe_native.config import Redaction
from source_stripe_native.flow.redaction import annotate, annotations
from source_stripe_native.models import STREAMS
from source_stripe_native.streams.personal import PERSONAL
from tests.capture import NAME, Capture, Json
from tests.documentation import rows
from tests.test_command_line import run
from tests.test_doc_tables import code
from tests.test_streams import HELD
from tools import personal
from tools.facts import stripe_facts
from tools.personal import ID, TEXT, kind_of, matches, problems, verdict

SCHEMAS: Final[Json] = stripe_facts()["schemas"]
MARK: Final = "this is personal"
KEPT: Final = "this is not"
NUMBER: Final = 86753
SALT: Final = b"salt"
KINDS_OF_OBJECTS: Final = sorted({kind_of(each) for each in SCHEMAS.values()} - {""})


class Made:
    """An object as the facts have it. Each part is made once for each place, however deep. Objects inside are
    stubs unless it is `expanded`."""

    def __init__(self, *, expanded: bool = False) -> None:
        self._expanded = expanded
        self._seen = set[tuple[int, str]]()
        self.marked = set[tuple[str, str]]()
        """The personal fields that were made, by name and place."""

    def object(self, schema: Json, place: str) -> Json:
        made: Json = {}
        for name, field in schema.get("properties", {}).items():
            value = self._value(field, name, place)
            if value is not None:
                made[name] = value
        return made

    def _value(self, field: Json, name: str, place: str) -> Any:
        is_personal = verdict(name, place)
        match field:
            case {"$ref": str(reference)}:
                return self._part(SCHEMAS[reference.rpartition("/")[2]], name, place)
            case {"anyOf": list(members)}:
                return self._any(members, name, place)
            case {"type": "array", "items": inner}:
                value = self._value(inner, name, place)
                return [] if value is None else [value]
            case {"properties": _}:
                return self._part(field, name, place)
            case {"additionalProperties": dict(inner)}:
                value = self._value(inner, name, place)
                return {} if value is None else {"eur": value}
            case {"enum": values} if name == "object":
                return values[0]
            case {"type": "string" | "integer" | "number" as kind} if is_personal:
                self.marked.add((name, place))
                return MARK if kind == "string" else NUMBER
            case {"type": "string"}:
                return KEPT
        return True

    def _any(self, members: list[Json], name: str, place: str) -> Any:
        is_id = any("$ref" in each for each in members)
        if is_id and not self._expanded and any(each.get("type") == "string" for each in members):
            return "id_1"
        values = [self._value(each, name, place) for each in members if not is_id or "$ref" in each]
        found = [each for each in values if each is not None]
        return found if len(found) > 1 else next(iter(found), None)

    def _part(self, schema: Json, name: str, place: str) -> Any:
        if "properties" not in schema and "anyOf" in schema:
            return self._any(schema["anyOf"], name, place)
        kind = kind_of(schema)
        inside = kind or f".{name}"
        if kind and not self._expanded:
            return {"object": kind}
        if (id(schema), inside) in self._seen:
            return None
        self._seen.add((id(schema), inside))
        return self.object(schema, inside)


def without_marks(value: Any) -> Any:
    """The same, without what is marked as personal."""
    if isinstance(value, dict):
        return {name: without_marks(each) for name, each in value.items() if not is_marked(each)}
    return (
        [without_marks(each) for each in value if not is_marked(each)] if isinstance(value, list) else value
    )


def with_digests(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: with_digests(each) for name, each in value.items()}
    if isinstance(value, list):
        return [with_digests(each) for each in value]
    if not is_marked(value):
        return value
    content = MARK.encode() if value == MARK else NUMBER.to_bytes(8, "little")
    return f"sha256:{hashlib.sha256(SALT + content).hexdigest()}"


def is_marked(value: Any) -> bool:
    return value in (MARK, NUMBER)


def with_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: with_nulls(each) for name, each in value.items()}
    if isinstance(value, list):
        return [with_nulls(each) for each in value]
    return None if is_marked(value) else value


@cache
def schema_of(redaction: Any) -> Schema:
    return Schema("acmeCo/All", annotations(redaction))


def redact(document: Json, redaction: Any) -> Json:
    schema = schema_of(redaction)
    schema.check(document, ())
    return redacted(document, schema.redactions(document), SALT)


def event_of(found: Json) -> Json:
    before = {name: deepcopy(each) for name, each in found.items() if name != "object"}
    return {
        "id": "evt_1",
        "object": "event",
        "data": {"object": deepcopy(found), "previous_attributes": before},
    }


@cache
def made(kind: str) -> tuple[Json, set[tuple[str, str]]]:
    """An object with all that the facts know of this kind, and its personal fields."""
    found, maker = dict[str, Json](), Made()
    for schema in SCHEMAS.values():
        if kind_of(schema) == kind:
            found |= maker.object(schema, kind)
    return found, maker.marked


def test_every_text_field_is_personal_or_not() -> None:
    assert list(problems()) == []


def test_a_field_of_a_newer_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    new = {("nickname_of_pet", "customer"): {TEXT}, ("email", "new.thing"): {ID}, ("name", ".zoo"): {TEXT}}
    known = personal.fields()
    monkeypatch.setattr(personal, "fields", lambda: known | new)
    assert [each.partition(":")[0].partition(", which")[0] for each in problems()] == [
        "new.thing has an id email",
        ".zoo has a text name",
        "customer has a text nickname_of_pet",
    ]


def test_the_objects_here_have_every_personal_field() -> None:
    marked = set[tuple[str, str]]().union(*(made(kind)[1] for kind in KINDS_OF_OBJECTS))
    assert len(marked) > 400
    assert marked == {each for each in personal.fields() if verdict(*each)}


def test_all_personal_data_is_redacted_and_all_else_stays() -> None:
    for kind in KINDS_OF_OBJECTS:
        found, _ = made(kind)
        assert redact(found, "hash") == with_digests(found), kind
        event = event_of(found)
        assert redact(event, "block") == without_marks(event), kind
        nulls = with_nulls(event)
        assert redact(nulls, "hash") == nulls, kind


def test_expanded_objects_are_redacted_too() -> None:
    """However deep they stand: a charge leads to nearly all others."""
    document = Made(expanded=True).object(SCHEMAS["charge"], "charge")
    assert str(document).count(MARK) > 400
    assert redact(document, "hash") == with_digests(document)
    assert redact(document, "block") == without_marks(document)


def test_keys_and_ids_stay() -> None:
    for stream in STREAMS:
        kind = KINDS[HELD[stream.NAME].kind].object_name
        names = {name for key in stream.KEY for name in key.split("/")[1:]} | {"id", "account_id"}
        assert not [name for name in names if verdict(name, kind)]


async def test_personal_data_is_in_no_document(world: World, server: StripeServer) -> None:
    """Of a backfill, of changes and of the events themselves, as Flow writes them."""
    personal_streams = [row.NAME for row in STREAMS if made(KINDS[HELD[row.NAME].kind].object_name)[1]]
    capture = Capture(
        server, [*personal_streams, "Events"], config={"advanced": {"redact_personal_data": "hash"}}
    )
    schemas = {
        each["recommendedName"]: Schema(each["recommendedName"], each["documentSchema"])
        for each in await capture.discover()
    }
    fields = dict[str, Json]()
    for name in personal_streams:
        kind = KINDS[HELD[name].kind]
        # Whole objects inside are the local Stripe's own.
        made_fields = {
            field: each
            for field, each in made(kind.object_name)[0].items()
            if MARK in str(each) and "'object'" not in str(each)
        }
        fields[kind.name] = made_fields
        world.create(kind.name, **deepcopy(made_fields))
    await capture.backfill(pause=10)
    for kind_name, personal_fields in fields.items():
        for found in world.list_all(kind_name):
            gone: Json = dict.fromkeys(personal_fields)
            world.update(kind_name, found["id"], **gone)
    await capture.catch_up()
    marked, left = set[str](), list[str]()
    for name, document in capture.documents:
        if MARK in str(document):
            marked.add(name)
            schema = schemas[name]
            schema.check(document, ())
            if MARK in str(redacted(document, schema.redactions(document), SALT)):
                left.append(name)
    assert left == []
    assert "Events" in marked
    assert len(marked) > 70


def test_a_field_counts_by_its_name_also_in_metadata_and_nulls_stay() -> None:
    found: Json = {
        "object": "customer",
        "name": "Jane Doe",
        "email": None,
        "description": "",
        "address": {"line1": "1 Main Street", "country": "DE", "state": None},
        "metadata": {"customer_email": "jane@example.com", "order_id": "1", "user_id": "2"},
        "discount": {"object": "discount", "coupon": {"object": "coupon", "name": "Ten off"}},
        "preferred_locales": ["de"],
    }
    assert redact(found, "block") == {
        "object": "customer",
        "email": None,
        "address": {"country": "DE", "state": None},
        "metadata": {"order_id": "1", "user_id": "2"},
        "discount": {"object": "discount", "coupon": {"object": "coupon", "name": "Ten off"}},
        "preferred_locales": ["de"],
    }


def test_the_annotations_are_small_and_add_no_columns() -> None:
    """Flow makes a column of each field that a schema names, and follows each way that a schema can refer to
    itself."""
    added = annotations("hash")
    assert len(json.dumps(added, separators=(",", ":"))) < 9_500
    assert yamls.parse(yamls.dump(added), "a schema") == added, "files have it as YAML"
    definitions = added["$defs"]
    over_any_field = [name for name, each in definitions.items() if "" in each.get("patternProperties", {})]
    assert over_any_field == ["personal"]
    named = [name for name, each in definitions.items() if "properties" in each]
    conditions = [each["if"]["$ref"].rpartition("/")[2] for each in definitions["personal"]["allOf"]]
    assert named == conditions, "a condition says nothing of columns"


def test_without_redaction_discover_proposes_what_it_did() -> None:
    schema: Json = {"type": "object"}
    annotate(schema, "none")
    assert schema == {"type": "object"}


@pytest.mark.parametrize(
    ("redaction", "lacking"), [("none", ""), ("hash", "Prices"), ("block", "Customers, Prices")]
)
async def test_a_capture_whose_collections_are_not_redacted_is_refused(
    server: StripeServer, caplog: pytest.LogCaptureFixture, redaction: str, lacking: str
) -> None:
    """Flow puts the proposed schema into a part of the write schema."""
    capture = Capture(
        server, ["Customers", "Prices"], config={"advanced": {"redact_personal_data": redaction}}
    )
    bindings = [capture.binding(name) for name in capture.streams]
    part = {"flow://connector-schema": annotations("hash"), "other": [True]}
    # A person has redacted one field of the other's.
    bindings[1]["collection"]["writeSchema"] = {
        "properties": {"nickname": {"redact": {"strategy": "sha256"}}}
    }
    bindings[0]["collection"]["writeSchema"] = {"$defs": part, "$ref": "flow://connector-schema"}
    config = {"name": NAME, "connectorType": "LOCAL", "config": capture.endpoint_config}
    if not lacking:
        assert len((await capture.ask("validate", config | {"bindings": bindings}))["bindings"]) == 2
        return
    with pytest.raises(SystemExit):
        await capture.ask("validate", config | {"bindings": bindings})
    assert f"is {redaction}, which the collections of {lacking} do not do yet" in caplog.text


async def test_the_command_prints_what_discover_proposes(server: StripeServer) -> None:
    ran = await run(server, "redact", "block")
    assert ran.exit_code == 0
    assert json.loads(ran.stdout) == annotations("block")
    assert "publish" in ran.stderr
    assert "backfill" in ran.stderr
    capture = Capture(server, config={"advanced": {"redact_personal_data": "block"}})
    plain = {each["recommendedName"]: each["documentSchema"] for each in await Capture(server).discover()}
    for found in await capture.discover():
        schema = plain[found["recommendedName"]]
        annotate(schema, "block")
        assert found["documentSchema"] == schema
        assert schema["allOf"] == annotations("block")["allOf"]


def test_the_page_says_what_is_personal() -> None:
    table = rows("docs/personal-data.md", "| personal is | such as |")
    assert [what for what, _ in table] == list(PERSONAL)
    for what, examples in table:
        assert all(matches(PERSONAL[what], name) for name in code(examples)), what
    values = rows("docs/personal-data.md", "| value | what becomes of personal data |")
    assert tuple(code(value)[0] for value, _ in values) == get_args(Redaction)
