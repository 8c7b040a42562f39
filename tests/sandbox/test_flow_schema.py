"""Collections' schemas: which Flow accepts, what they forbid, and what their annotations do to a document."""

import hashlib
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.flow.document import Document, redacted, reduced
from sandbox.flow.errors import CatalogError, FlowError, InvalidDocument
from sandbox.flow.schema import Schema
from tests.test_snapshots import SNAPSHOTS

NAME = "acmeCo/A"
SALT = b"salt"
HASH = {"redact": {"strategy": "sha256"}}
BLOCK = {"redact": {"strategy": "block"}}

# Which schemas are accepted

PLACES: list[Any] = [
    lambda inner: inner,
    lambda inner: {"properties": {"a": inner}},
    lambda inner: {"patternProperties": {"a": inner}},
    lambda inner: {"additionalProperties": inner},
    lambda inner: {"items": inner},
    lambda inner: {"prefixItems": [True, inner]},
    lambda inner: {"contains": inner},
    lambda inner: {"anyOf": [inner]},
    lambda inner: {"oneOf": [inner]},
    lambda inner: {"allOf": [True, inner]},
    lambda inner: {"not": inner},
    lambda inner: {"if": inner},
    lambda inner: {"then": inner},
    lambda inner: {"else": inner},
    lambda inner: {"$defs": {"a": inner}},
    lambda inner: {"definitions": {"a": inner}},
]
"""The places that a schema may have another in."""
NESTED = st.lists(st.sampled_from(PLACES), max_size=4)
ANNOTATIONS = {
    "reduce": {"strategy": "merge"},
    **BLOCK,
    "secret": True,
    "nonsensitive": True,
    "airbyte_secret": True,
    "order": 1,
    "advanced": True,
    "multiline": True,
    "discriminator": {"propertyName": "a"},
    "x-infer-schema": True,
    "X-anything": {"type": "much"},
    "title": "A",
    "description": "a",
    "default": {"unknown": 1},
    "examples": [{"unknown": 1}],
    "deprecated": True,
    "$comment": "a",
}


def within(places: list[Any], schema: Any) -> Any:
    for place in places:
        schema = place(schema)
    return schema


def refusal(schema: dict[str, Any]) -> str | None:
    """Why Flow refuses a schema, None where it accepts it."""
    try:
        Schema(NAME, schema)
    except CatalogError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "wrong",
    [
        {"unknown": 1},
        {"minimun": 1},
        {"dependencies": {}},
        {"type": "much"},
        {"format": "unknown"},
        {"nullable": 1},
        {"reduce": "merge"},
        {"reduce": {"strategy": "last"}},
        {"order": "1"},
        {"secret": "yes"},
        {"redact": {"strategy": "md5"}},
    ],
)
@given(places=NESTED)
def test_what_flow_does_not_know_is_refused_at_any_depth(wrong: Any, places: list[Any]) -> None:
    with pytest.raises(CatalogError, match="the schema of acmeCo/A is invalid: at "):
        Schema(NAME, within(places, {"title": "A", **wrong}))


@given(places=NESTED)
def test_annotations_that_flow_knows_forbid_nothing_at_any_depth(places: list[Any]) -> None:
    assert refusal(within(places, ANNOTATIONS)) is None


@given(st.dictionaries(st.text(), st.sampled_from([True, {}, {"type": "string"}])))
def test_names_and_values_are_no_keywords(properties: dict[str, Any]) -> None:
    values = [properties]
    schema = {"properties": properties, "enum": values, "const": properties, "examples": values}
    assert refusal(schema) is None


def test_error_names_the_keyword_and_its_place() -> None:
    with pytest.raises(CatalogError, match=r"at /properties/a~1b: Flow does not know minimun$"):
        Schema(NAME, {"properties": {"a/b": {"minimun": 1}}})


@pytest.mark.parametrize("schema", [{"$ref": "#/$defs/none"}, {"$ref": "http://localhost/x"}])
def test_reference_to_nothing_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(CatalogError, match="the schema of acmeCo/A is invalid: "):
        Schema(NAME, schema)


def test_flow_accepts_every_schema_of_the_connector() -> None:
    found = json.loads((SNAPSHOTS / "snapshots__discover__stdout.json").read_text())
    [spec] = json.loads((SNAPSHOTS / "snapshots__spec__stdout.json").read_text())
    schemas = {each["recommendedName"]: each["documentSchema"] for each in found}
    schemas |= {name: spec[name] for name in ("configSchema", "resourceConfigSchema")}
    assert {name: refused for name, schema in schemas.items() if (refused := refusal(schema))} == {}


# What they forbid

VALUES: dict[str, tuple[list[str], list[str]]] = {
    "date": (["2026-01-31"], ["2026-02-30", "2026-01-31T00:00:00Z", "b"]),
    "date-time": (["2026-01-31T10:00:00Z", "2026-01-31T10:00:00.5+01:00"], ["2026-01-31", "b"]),
    "datetime": (["2026-01-31T10:00:00Z"], ["2026-01-31", "b"]),
    "time": (["10:00:00Z"], ["10 o'clock"]),
    "duration": (["P1D", "PT5M"], ["5m", "P"]),
    "email": (["a@example.com"], ["a at example.com"]),
    "hostname": (["example.com"], ["example dot com"]),
    "idn-email": ([], ["a@example.com"]),
    "idn-hostname": ([], ["example.com"]),
    "ipv4": (["10.0.0.1"], ["10.0.0.1.2"]),
    "ipv6": (["::1"], ["10.0.0.1"]),
    "macaddr": (["00:1b:63:84:45:e6", "001B638445E6"], ["00:1b", "00:1b:63:84:45:e6:aa:bb"]),
    "macaddr8": (["00:1b:63:84:45:e6:aa:bb"], ["00:1b:63:84:45:e6"]),
    "uuid": (["df518555-34f0-446a-8788-7b36f607bbea"], ["df51855534f0446a87887b36f607bbea"]),
    "uri": (["https://example.com/"], ["../a"]),
    "uri-reference": (["../a"], ["a b"]),
    "json-pointer": (["/a/b"], ["/a~b"]),
    "regex": (["^a$"], ["[a"]),
    "integer": (["1", "-1", "1.0", "1e3"], ["1.5", " 1", "1_0", "a", ""]),
    "uint64": (["1"], ["1.5"]),
    "number": (["1", "-1.5", ".5", "1e3", "NaN", "-Infinity"], [" 1", "1_0", "nan", "a", ""]),
    "sha256": (["sha256:" + "0" * 64], ["0" * 64, "sha256:" + "g" * 64]),
}


@pytest.mark.parametrize("name", VALUES)
def test_formats_are_asserted_for_texts_alone(name: str) -> None:
    schema = Schema(NAME, {"properties": {"a": {"format": name}}})
    valid, invalid = VALUES[name]
    others: list[Any] = [None, 1, 1.5, True, [], {}]
    for value in (*valid, *others):
        schema.check({"a": value}, ())
    for value in invalid:
        with pytest.raises(InvalidDocument, match="is invalid at /a: "):
            schema.check({"a": value}, ())


@pytest.mark.parametrize("kind", ["string", ["string", "integer"], ["string", "null"]])
@given(places=st.lists(st.sampled_from([lambda s: {"allOf": [s]}, lambda s: {"anyOf": [s]}]), max_size=3))
def test_what_is_nullable_may_be_null_and_nothing_else_may_be(kind: Any, places: list[Any]) -> None:
    inner = {"type": kind, "nullable": True}
    schema = Schema(NAME, {"properties": {"a": within(places, inner)}})
    for value in ("x", None):
        schema.check({"a": value}, ())
    with pytest.raises(InvalidDocument):
        schema.check({"a": True}, ())
    if "null" not in kind:
        with pytest.raises(InvalidDocument):
            Schema(NAME, {"properties": {"a": {"type": kind, "nullable": False}}}).check({"a": None}, ())


def test_property_of_the_name_nullable_is_a_property() -> None:
    schema = Schema(NAME, {"properties": {"nullable": True, "type": {"type": "string"}}})
    with pytest.raises(InvalidDocument):
        schema.check({"type": None}, ())


def test_reason_names_the_place_by_its_pointer_and_is_not_endless() -> None:
    schema = Schema(NAME, {"properties": {"a/b": {"items": {"type": "integer"}}}})
    with pytest.raises(InvalidDocument) as caught:
        schema.check({"id": "x", "a/b": [1, "z" * 1000]}, ((3, "x"),))
    assert str(caught.value).startswith('the document with key ["x"] is invalid at /a~1b/1: "zzz')
    assert len(str(caught.value)) < 500


def test_meta_must_have_room_for_the_uuid() -> None:
    with pytest.raises(InvalidDocument, match="at /_meta: "):
        Schema(NAME, True).check({"_meta": 1}, ())


@pytest.mark.parametrize(
    ("schema", "default"),
    [
        (True, None),
        ({"properties": {"a": True}}, None),
        ({"properties": {"a": {"properties": {"b": {"default": 1}}}}}, 1),
        (
            {
                "properties": {"a": {"$ref": "#/$defs/a"}},
                "$defs": {"a": {"properties": {"b": {"default": 1}}}},
            },
            1,
        ),
        ({"properties": {"a": {"default": {"b": 2}}}}, None),
    ],
)
def test_default_of_a_key_is_the_schemas(schema: Any, default: Any) -> None:
    assert Schema(NAME, schema).default("/a/b") == default


# Annotations


def test_reductions_are_those_of_the_branch_that_the_document_takes() -> None:
    strategy = {"reduce": {"strategy": "merge"}}
    condition = {"properties": {"x": {"const": 1}}, "required": ["x"]}
    schema = Schema(NAME, {"if": condition, "then": strategy, "properties": {"y": strategy}})
    assert schema.reductions({"x": 1}) == {"": [{"strategy": "merge"}]}
    assert schema.reductions({"x": 2, "y": {}}) == {"/y": [{"strategy": "merge"}]}


STRATEGIES = st.sampled_from(
    [{"strategy": "merge"}, {"strategy": "merge", "delete": True}, {"strategy": "lastWriteWins"}]
)


@given(st.lists(STRATEGIES, min_size=1, max_size=3))
def test_strategies_of_one_place_must_be_the_same(given: list[dict[str, Any]]) -> None:
    schema = Schema(NAME, {"allOf": [{"reduce": strategy} for strategy in given]})
    strategies = schema.reductions({"a": 1})
    if all(each == given[0] for each in given):
        assert reduced({"a": 0}, {"a": 1}, strategies) == {"a": 1}
    else:
        with pytest.raises(FlowError, match="two strategies at its root"):
            reduced({"a": 0}, {"a": 1}, strategies)


def redact(schema: dict[str, Any], document: Document) -> Document:
    checked = Schema(NAME, schema)
    checked.check(document, ())
    return redacted(document, checked.redactions(document), SALT)


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(SALT + content).hexdigest()}"


def test_blocked_locations_are_removed_and_their_siblings_stay() -> None:
    schema = {"properties": {"a": BLOCK, "b": {"items": {"properties": {"c": BLOCK}}}}}
    document = {"a": {"x": 1}, "b": [{"c": 1, "d": 2}, 3], "e": 4}
    assert redact(schema, document) == {"b": [{"d": 2}, 3], "e": 4}
    assert redact(
        {"properties": {"a": {"items": {"anyOf": [{"const": 1, **BLOCK}, True]}}}}, {"a": [1, 2, 1]}
    ) == {"a": [2]}


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("é", "é".encode()),
        ("", b""),
        (None, b""),
        (True, b"\x01"),
        (False, b"\x00"),
        (258, b"\x02\x01" + bytes(6)),
        (258.0, b"\x02\x01" + bytes(6)),
        (-1, b"\xff" * 8),
        (0.5, struct.pack("<d", 0.5)),
        ({"b": [1, None], "a": "x"}, b'{"a":"x","b":[1,null]}'),
    ],
)
def test_digest_is_of_the_salt_and_the_value(value: Any, content: bytes) -> None:
    assert redact({"properties": {"a": HASH}}, {"a": value}) == {"a": digest(content)}


def test_digest_is_not_hashed_again() -> None:
    once = redact({"properties": {"a": HASH}}, {"a": "x"})
    assert redact({"properties": {"a": HASH}}, once) == once


def test_nulls_stay_where_only_the_branch_of_texts_is_annotated() -> None:
    schema = {"properties": {"a": {"anyOf": [{"type": "string", **HASH}, {"type": "null"}]}}}
    assert redact(schema, {"a": None}) == {"a": None}
    assert redact(schema, {"a": "x"}) == {"a": digest(b"x")}


def test_what_is_inside_a_hashed_location_is_not_redacted_by_itself() -> None:
    schema = {"properties": {"a": {**HASH, "properties": {"b": BLOCK}}}}
    assert redact(schema, {"a": {"b": 1}}) == {"a": digest(b'{"b":1}')}


def test_two_redactions_of_one_place_are_an_error() -> None:
    with pytest.raises(FlowError, match="two strategies at /a"):
        redact({"properties": {"a": {"allOf": [HASH, BLOCK]}}}, {"a": 1})


def test_error_does_not_show_what_may_be_redacted() -> None:
    schema = Schema(NAME, {"properties": {"a": {"type": "string", "minLength": 20, **HASH}}})
    with pytest.raises(InvalidDocument) as caught:
        schema.check({"a": "a secret"}, ())
    assert "a secret" not in str(caught.value)
