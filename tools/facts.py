"""The facts in tests/facts, as tests and tools read them."""

import json
import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, Final

FACTS: Final = Path(__file__).parents[1] / "tests" / "facts"
STRIPE: Final = FACTS / "stripe.json"
"""What Stripe's OpenAPI document says."""
FORMS: Final = FACTS / "forms.json"
"""The types of the parameters of its methods."""
SDK: Final = FACTS / "sdk.json"
"""What Stripe's newest SDK says beyond the document, which is older and leaves out /v2/."""
REFERENCE: Final = FACTS / "reference.json"

WIDTH: Final = 300
LEVELS: Final = 4
"""A value of the upper levels that is longer than WIDTH has a line for each member."""


@cache
def read(file: Path) -> Any:
    """Return the facts in a file. All callers get the same object, so they must not change it."""
    return json.loads(file.read_bytes())


@cache
def stripe_facts() -> Any:
    """Return the newest facts about Stripe: those of its document, and those that only the SDK has."""
    facts, more = deepcopy(read(STRIPE)), read(SDK)
    for name, fields in more["fields"].items():
        for path, field in fields.items():
            place, _, last = path.rpartition(".")
            schema = field_at(facts["schemas"][name], place)
            schema["properties"][last] = field
            if references(field):
                schema["x-expandableFields"] = sorted({*schema.get("x-expandableFields", ()), last})
    return facts | {
        "error_codes": more["error_codes"],
        "event_types": sorted({*facts["event_types"], *more["event_types"]}),
        "paths": facts["paths"] | more["paths"],
        "preview": more["preview"],
        "schemas": facts["schemas"] | more["schemas"],
        "thin_event_types": more["thin_event_types"],
        "version": more["version"],
    }


def field_at(schema: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the field at a path with dots inside a schema; `*` stands for the elements of a list."""
    for name in path.split(".") if path else ():
        schema = schema["items"] if name == "*" else schema["properties"][name]
    return schema


def shape(path: str) -> str:
    """Return a path without the names of its parameters."""
    return re.sub(r"{\w*}", "{}", path)


def text(facts: Any, levels: int = LEVELS, margin: str = "\n") -> str:
    """Return the JSON of facts, sorted, with no more lines than a diff needs."""
    short = json.dumps(facts, separators=(",", ":"), sort_keys=True)
    if len(short) <= WIDTH or not levels or not isinstance(facts, dict | list):
        return short
    inner = f"{margin} "
    if isinstance(facts, list):
        members = [text(each, levels - 1, inner) for each in facts]
    else:
        members = [f"{json.dumps(name)}:{text(facts[name], levels - 1, inner)}" for name in sorted(facts)]
    return short[0] + inner + f",{inner}".join(members) + margin + short[-1]


def references(value: Any) -> list[str]:
    """Return the names of the schemas that are referred to anywhere inside a value."""
    found = set[str]()
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            found.add(reference.removeprefix("#/components/schemas/"))
        value = list(value.values())
    if isinstance(value, list):
        found.update(*map(references, value))
    return sorted(found)
