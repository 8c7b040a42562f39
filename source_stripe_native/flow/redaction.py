"""The annotations by which Flow redacts personal data, as a part of a collection's write schema.

Rule: the part is the same for all collections, small, and applies at any depth. It never says which fields
there are: it has patterns of names only, so that no table gets a column for a field that its objects lack.
Only text and numbers are annotated, so that nulls stay null.

Limits: Flow follows a reference inside itself once when it looks for columns, so only one part of the schema
refers to itself over any field.
"""

from collections.abc import Iterable
from typing import Any, Final

from estuary_cdk.capture.request import ValidateBinding

from source_stripe_native.config import Redaction, ResourceConfig
from source_stripe_native.errors import ConnectorError
from source_stripe_native.streams.personal import PERSONAL, SPLIT, Split

Json = dict[str, Any]

STRATEGIES: Final = {"hash": "sha256", "block": "block"}
"""What Flow calls them."""

_NAME: Final = "personal"
_OTHER_TYPES: Final = ["null", "boolean", "object", "array"]


def annotate(schema: Json, redaction: Redaction) -> None:
    """Add the annotations to a collection's schema, in place."""
    if redaction != "none":
        added = annotations(redaction)
        schema.setdefault("$defs", {}).update(added["$defs"])
        schema["allOf"] = [*schema.get("allOf", ()), *added["allOf"]]


def refuse_unredacted(bindings: Iterable[ValidateBinding[ResourceConfig]], redaction: Redaction) -> None:
    """Raise ConnectorError if a collection lacks the annotations that the config asks for: what the config
    says would not be so."""
    if redaction == "none":
        return
    lack = [
        binding.resourceConfig.name
        for binding in bindings
        if not _is_annotated(binding.collection.writeSchema, redaction)
    ]
    if lack:
        raise ConnectorError(
            f"advanced.redact_personal_data is {redaction}, which the collections of {', '.join(lack)} do "
            "not do yet: discover the streams again, so that their schemas have it, and publish these too."
        )


def _is_annotated(schema: Any, redaction: Redaction) -> bool:
    """Whether a write schema has the annotations, wherever Flow has put what discover proposed."""
    inside: Iterable[Any] = schema if isinstance(schema, list) else ()
    if isinstance(schema, dict):
        if schema.get(f"{_NAME}_text") == _text(redaction):
            return True
        inside = schema.values()
    return any(_is_annotated(each, redaction) for each in inside)


def annotations(redaction: Redaction) -> Json:
    """The part of a schema that redacts personal data."""
    anything: Json = {
        "items": _reference(),
        "patternProperties": {
            "": _reference(),
            **{_pattern(names): _reference("text") for names in PERSONAL.values()},
        },
        "allOf": [],
    }
    definitions = {_NAME: anything, f"{_NAME}_text": _text(redaction)}
    for row in SPLIT:
        definitions |= _split(row, anything)
    return {"$defs": definitions, "allOf": [_reference()]}


def _text(redaction: Redaction) -> Json:
    return {
        "anyOf": [
            {"type": ["string", "number"], "redact": {"strategy": STRATEGIES[redaction]}},
            {"type": _OTHER_TYPES, "items": _reference("text")},
        ]
    }


def _split(row: Split, anything: Json) -> Json:
    """The definitions for names that are personal in some places only. They are applied to these places."""
    name = row.names.split()[0]
    fields, kind = _reference(name), _reference(f"kind_{name}")
    patterns = {_pattern(row.names): _reference("text")}
    made: Json = {f"{_NAME}_{name}": {"items": fields, "patternProperties": patterns}}
    places = row.personal.split()
    if parts := " ".join(place[1:] for place in places if place.startswith(".")):
        anything["patternProperties"][_pattern(parts)] = fields
    if kinds := " ".join(place for place in places if not place.startswith(".")):
        # What an event's object had before does not say what it is: the object beside it does.
        patterns["^previous_attributes$"] = fields
        is_kind = {"anyOf": [{"type": "string", "pattern": _pattern(kinds)}, kind]}
        made[f"{_NAME}_kind_{name}"] = {
            "type": "object",
            "required": ["object"],
            "properties": {"object": is_kind},
        }
        anything["allOf"].append({"if": kind, "then": fields})
    return made


def _reference(name: str = "") -> Json:
    return {"$ref": f"#/$defs/{_NAME}_{name}" if name else f"#/$defs/{_NAME}"}


def _pattern(names: str) -> str:
    """A regular expression for names with `*`."""
    choices = "|".join(names.split()).replace(".", r"\.").replace("*", ".*")
    return f"^({choices})$"
