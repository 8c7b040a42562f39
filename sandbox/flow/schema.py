"""A collection's write schema, as Flow builds it: documents are checked against it, its annotations reduce
and redact them.

Flow refuses keywords and formats that it does not know, asserts the formats that it knows, and takes
`nullable: true` as one type more. The rest is JSON Schema 2020-12.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import jsonschema_rs
import orjson
from jsonschema_rs import Draft202012Validator, ValidationErrorKind

from sandbox.flow.document import Document, Key, Strategies, escape, located, steps_of
from sandbox.flow.errors import CatalogError, InvalidDocument

_REASON_LENGTH = 300  # a reason quotes the value that is wrong, which may be a whole document
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,9})?", re.ASCII | re.IGNORECASE)
_MAC_ADDRESS = r"[0-9A-Fa-f]{2}([:-]?[0-9A-Fa-f]{2}){%d}"


def _is_number(text: str) -> bool:
    return bool(_DECIMAL.fullmatch(text)) or text in ("NaN", "Infinity", "-Infinity")


def _is_integer(text: str) -> bool:
    if not _DECIMAL.fullmatch(text):
        return False
    number = Decimal(text)
    return number == number.to_integral_value()


def _matches(pattern: str) -> Callable[[str], bool]:
    return lambda text: bool(re.fullmatch(pattern, text))


def _never(_: str) -> bool:
    return False


_FORMATS: Mapping[str, Callable[[str], bool]] = {
    "datetime": Draft202012Validator({"format": "date-time"}, validate_formats=True).is_valid,
    "idn-email": _never,  # Flow has no support for these two: no text is valid
    "idn-hostname": _never,
    "integer": _is_integer,
    "macaddr": _matches(_MAC_ADDRESS % 5),
    "macaddr8": _matches(_MAC_ADDRESS % 7),
    "number": _is_number,
    "sha256": _matches("sha256:[0-9A-Fa-f]{64}"),
    "uint32": _is_integer,
    "uint64": _is_integer,
}
"""Flow's formats that JSON Schema does not have, or that Flow takes in another way."""

_STANDARD_FORMATS = (
    *("date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "iri", "iri-reference"),
    *("json-pointer", "regex", "relative-json-pointer", "time", "uri", "uri-reference", "uri-template"),
    "uuid",
)

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FLAGS = ("advanced", "airbyte_secret", "multiline", "secret")
_REDUCTIONS = (
    *("append", "firstWriteWins", "jsonSchemaMerge", "lastWriteWins", "maximize", "merge", "minimize"),
    *("set", "sum"),
)
_METASCHEMA = Draft202012Validator(
    {
        "$schema": _DIALECT,
        "$id": "flow:schema",
        "$dynamicAnchor": "meta",
        "allOf": [{"$ref": _DIALECT}],
        "properties": {
            **{name: {"type": "boolean"} for name in _FLAGS},
            **dict.fromkeys(("discriminator", "example", "nonsensitive"), True),
            "order": {"type": "integer"},
            "dependencies": False,
            "format": {"enum": [*_STANDARD_FORMATS, *_FORMATS]},
            "nullable": {"type": "boolean"},
            "redact": {
                "type": "object",
                "properties": {"strategy": {"enum": ["block", "sha256"]}},
                "required": ["strategy"],
                "additionalProperties": False,
            },
            "reduce": {
                "type": "object",
                "properties": {"strategy": {"enum": [*_REDUCTIONS]}},
                "required": ["strategy"],
            },
        },
        "patternProperties": {"^[xX]-": True},
        "unevaluatedProperties": False,
    },
    offline=True,
)
"""The schemas that Flow accepts. It has the anchor of JSON Schema's own, so that it holds at all depths."""


class Schema:
    """A collection's write schema. Raises CatalogError when Flow would refuse it."""

    def __init__(self, collection: str, schema: dict[str, Any] | bool) -> None:
        self._collection = collection
        self._schema = schema
        self._redacts = b'"redact":' in orjson.dumps(schema)
        if error := next(_METASCHEMA.iter_errors(schema), None):
            raise self._refused(f"at {_pointer(error) or 'its root'}: {_reason(error)}")
        try:
            self._validator = Draft202012Validator(
                _with_nulls(schema),
                formats=dict(_FORMATS),
                validate_formats=True,
                offline=True,
                mask="a value that may be redacted" if self._redacts else None,
            )
        except ValueError as error:
            raise self._refused(str(error).splitlines()[0]) from error

    def check(self, document: Document, key: Key) -> None:
        """Raises InvalidDocument for the first thing that the schema forbids."""
        if not self._validator.is_valid(document):
            error = next(iter(self._validator.iter_errors(document)))
            at, reason = _pointer(error), error.message
        elif not isinstance(document.get("_meta", {}), dict):
            at, reason = "/_meta", "Flow puts the document's uuid here, so it must be an object"
        else:
            return
        shown = orjson.dumps([value for _, value in key]).decode()
        reason = reason if len(reason) <= _REASON_LENGTH else f"{reason[:_REASON_LENGTH]}..."
        raise InvalidDocument(f"the document with key {shown} is invalid at {at or 'its root'}: {reason}")

    def default(self, pointer: str) -> Any:
        """The schema's default at `pointer`, looked for in properties and references; null without one."""
        at = self._resolved(self._schema)
        for step in steps_of(pointer):
            at = self._resolved(at.get("properties", {}).get(step))
        return at.get("default")

    def reductions(self, document: Document) -> Strategies:
        """The `reduce` annotations that hold for this document, by JSON pointer."""
        return self._annotations("reduce", document)

    def redactions(self, document: Document) -> Strategies:
        """The `redact` annotations that hold for this document, by JSON pointer."""
        return self._annotations("redact", document) if self._redacts else {}

    def _annotations(self, keyword: str, document: Document) -> Strategies:
        found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for unit in self._validator.evaluate(document).annotations():
            match unit["annotations"]:
                case dict() as annotations if keyword in annotations:
                    found[unit["instanceLocation"]].append(annotations[keyword])
        return found

    def _resolved(self, schema: Any) -> dict[str, Any]:
        if not isinstance(schema, dict):
            return {}
        if "$ref" not in schema:
            return schema
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        return self._resolved(located(self._schema, schema["$ref"].removeprefix("#"))) | rest

    def _refused(self, reason: str) -> CatalogError:
        return CatalogError(f"the schema of {self._collection} is invalid: {reason}")


def _with_nulls(schema: Any) -> Any:
    """The schema with null among the types of what is nullable."""
    match schema:
        case {"nullable": True, "type": str() | list() as kind, **rest}:
            kinds = [kind] if isinstance(kind, str) else kind
            return _with_nulls({**rest, "type": [*(each for each in kinds if each != "null"), "null"]})
        case dict():
            return {name: _with_nulls(value) for name, value in schema.items()}
        case list():
            return [_with_nulls(each) for each in schema]
    return schema


def _pointer(error: jsonschema_rs.ValidationError) -> str:
    return "".join(f"/{escape(str(step))}" for step in error.instance_path)


def _reason(error: jsonschema_rs.ValidationError) -> str:
    match error.kind:
        case ValidationErrorKind.UnevaluatedProperties(unexpected=names):
            return f"Flow does not know {', '.join(names)}"
    return error.message
