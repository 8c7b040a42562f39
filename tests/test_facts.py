"""The files in tests/facts: they are complete, they hold no text, and they are what the script finds.

A clone lacks Stripe's document and the reference connector's answers. The comparisons with them are
defined only where they are beside the project, so that no test is skipped elsewhere.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tools.extract_facts import (
    document_facts,
    form_facts,
    form_type,
    reduced,
    reference_facts,
    without_text,
)
from tools.facts import FORMS, REFERENCE, SDK, STRIPE, read, references, stripe_facts, text

SHARED: Final = Path(__file__).parents[2] / "shared"
SPEC: Final = SHARED / "stripe/spec3.json"
ANSWERS: Final = (SHARED / "reference/discover.json", SHARED / "reference/spec.json")


@pytest.mark.parametrize("file", [STRIPE, FORMS, SDK, REFERENCE], ids=lambda file: file.name)
def test_a_file_is_as_the_script_writes_it(file: Path) -> None:
    assert changed_lines(file, read(file)) == []


def test_every_schema_that_stripe_returns_is_kept_with_all_that_it_refers_to() -> None:
    schemas, paths = stripe_facts()["schemas"], stripe_facts()["paths"]
    assert set(references(schemas)) <= schemas.keys()
    for path, methods in paths.items():
        get = methods.get("get", {})
        assert {*get.get("lists", []), *get.get("returns", [])} <= schemas.keys(), path
    assert sum("lists" in methods.get("get", {}) for methods in paths.values()) == 153


def test_no_sentence_is_kept() -> None:
    for file in (STRIPE, FORMS, SDK, REFERENCE):
        assert [each for each in strings(read(file)) if re.search("[a-z,.] [a-z]", each)] == []


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(each)


def test_a_reduced_schema_loses_its_text_and_no_field() -> None:
    field = {"description": "The text.", "maxLength": 5, "nullable": True, "type": "string"}
    schema = {"properties": {"description": field, "title": {"enum": ["b", "a"]}}, "title": "The title"}
    assert reduced(schema) == {
        "properties": {
            "description": {"maxLength": 5, "nullable": True, "type": "string"},
            "title": {"enum": ["a", "b"]},
        }
    }


def test_the_type_of_a_parameter_says_what_stripe_takes_there() -> None:
    number: Any = {"type": "integer"}
    empty: Any = {"enum": [""], "type": "string"}
    fields: Any = {
        "amount": {"anyOf": [number, empty]},
        "cancel_at": {"anyOf": [number, {"enum": ["b", "a"], "type": "string"}]},
        "percent": {"format": "decimal", "type": "string"},
        "tags": {"items": {"type": "string"}, "type": "array"},
        "metadata": {"additionalProperties": {"type": "string"}, "type": "object"},
    }
    assert form_type({"properties": fields, "required": ["tags"], "type": "object"}) == {
        "amount": {"?": "integer"},
        "cancel_at": {"|": ["integer", {"=": ["a", "b"]}]},
        "percent": "decimal",
        "tags!": ["string"],
        "metadata": "map",
    }


def test_a_keyword_that_the_script_does_not_know_is_an_error() -> None:
    with pytest.raises(ValueError, match="minimum"):
        reduced({"items": {"minimum": 1, "type": "integer"}, "type": "array"})


def test_a_digest_tells_whether_two_descriptions_are_the_same() -> None:
    first, same, other = (without_text({"description": each}) for each in ("An id.", "An id.", "An ID."))
    assert first == same != other


if SPEC.exists():

    def test_the_facts_about_stripe_are_those_of_its_document() -> None:
        found = document_facts(json.loads(SPEC.read_bytes()))
        assert changed_lines(STRIPE, found) == [], "run tools/extract_facts.py, then mend the catalogue"

    def test_the_forms_are_those_of_stripes_document() -> None:
        found = form_facts(json.loads(SPEC.read_bytes()))
        assert changed_lines(FORMS, found) == [], "run tools/extract_facts.py"


if all(each.exists() for each in ANSWERS):

    def test_the_facts_about_the_reference_connector_are_those_of_its_answers() -> None:
        found = reference_facts(*(json.loads(each.read_bytes()) for each in ANSWERS))
        assert changed_lines(REFERENCE, found) == [], "run tools/extract_facts.py, then mend the catalogue"


def changed_lines(file: Path, facts: Any) -> list[str]:
    """Return the lines that only the file has or only the facts have, which are few in so long a file."""
    kept, found = file.read_text(), f"{text(facts)}\n"
    if kept == found:
        return []
    return sorted({*kept.splitlines()} ^ {*found.splitlines()}) or ["the order of the lines"]
