"""Extract what tests compare with: from Stripe's published SDK, from its OpenAPI document and from the
reference connector's answers.

python tools/extract_facts.py stripe 16.1.0
python tools/extract_facts.py stripe 16.1.0 --preview 16.1.0b1
python tools/extract_facts.py stripe 16.1.0 --document spec3.json --reference discover.json spec.json

The first writes tests/facts/sdk.json: what that version of the Python package `stripe` has beyond the
document. It prints what has changed since the version that the file had before. `--preview` adds the event
types of a public preview. `--document` writes stripe.json and forms.json there, and `--reference` writes
tests/facts/reference.json. A clone lacks these documents, so its tests read the files.

Rules: only facts are kept, such as names, types, parameters and flags. Text is not kept. `x-secret` marks a
field that may have a secret, by its name or its description. A digest stands for each description of the
reference, so that a test can tell whether ours is the same. All is sorted, and each field of a large schema
has its own line, so that a diff shows what is new at Stripe.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from tools.compare_facts import additions, changes
from tools.facts import FORMS, REFERENCE, SDK, STRIPE, read, references, text
from tools.read_sdk import SECRET, downloaded, looks_secret

KEPT: Final = {
    "$ref",
    "additionalProperties",
    "anyOf",
    "enum",
    "items",
    "maxLength",
    "nullable",
    "pattern",
    "properties",
    "required",
    "type",
    "x-expandableFields",
    "x-resourceId",
}
"""The keywords that validate an object, name it, or name the fields that can be expanded."""

DROPPED: Final = {"description", "format", "title", "x-expansionResources", "x-stripeBypassValidation"}


# Stripe


def document_facts(spec: Any) -> dict[str, Any]:
    """Return the event types, every path, and the schemas of all that GET and DELETE answer with."""
    paths = {
        path: {method: operation(method, each) for method, each in methods.items()}
        for path, methods in spec["paths"].items()
    }
    answers = [each[method] for each in paths.values() for method in each.keys() & {"get", "delete"}]
    wanted = {name for each in answers for name in each.get("lists", []) + each.get("returns", [])}
    return {
        "event_types": event_types(spec),
        "paths": paths,
        "schemas": reached(wanted, spec["components"]["schemas"]),
        "version": spec["info"]["version"],
    }


def event_types(spec: Any) -> list[str]:
    """Return the types that a webhook endpoint can be made for."""
    form = spec["paths"]["/v1/webhook_endpoints"]["post"]["requestBody"]["content"]
    fields = form["application/x-www-form-urlencoded"]["schema"]["properties"]
    return sorted(set(fields["enabled_events"]["items"]["enum"]) - {"*"})


def operation(method: str, described: Any) -> dict[str, Any]:
    """Return the schemas that a method lists or returns, and the query parameters of a GET."""
    (answer,) = described["responses"]["200"]["content"].values()
    fields = answer["schema"].get("properties", {})
    if {"data", "has_more"} <= fields.keys():
        facts: dict[str, Any] = {"lists": references(fields["data"])}
    else:
        facts = {"returns": references(answer["schema"])}
    if method == "get":
        query = [each for each in described["parameters"] if each["in"] == "query"]
        facts["query"] = {each["name"]: parameter(each) for each in query}
    return facts


def parameter(described: Any) -> dict[str, Any]:
    """Return whether a parameter is required, and the values that it can have where Stripe names them."""
    required = {"required": True} if described["required"] else {}
    enum = described["schema"].get("enum")
    return required | ({"enum": sorted(enum)} if enum else {})


def reached(names: Iterable[str], schemas: Any) -> dict[str, Any]:
    """Return the named schemas and all that they refer to, reduced."""
    wanted, found = set(names), dict[str, Any]()
    while wanted:
        name = wanted.pop()
        found[name] = reduced(schemas[name])
        wanted |= set(references(found[name])) - found.keys()
    return found


def reduced(schema: Any) -> Any:
    """Return a schema without text. An unknown keyword raises, so that no constraint gets lost unseen."""
    if isinstance(schema, bool):  # additionalProperties
        return schema
    if unknown := schema.keys() - KEPT - DROPPED:
        raise ValueError(f"neither kept nor dropped: {sorted(unknown)}")
    changed: dict[str, Callable[[Any], Any]] = {
        "additionalProperties": reduced,
        "anyOf": lambda each: [reduced(one) for one in each],
        "enum": sorted,
        "items": reduced,
        "properties": lambda each: {name: field(name, one) for name, one in each.items()},
        "required": sorted,
        "x-expandableFields": sorted,
    }
    kept = {name: changed.get(name, lambda each: each)(schema[name]) for name in schema.keys() & KEPT}
    if kept.get("x-expandableFields") == []:
        del kept["x-expandableFields"]
    return kept


def field(name: str, schema: Any) -> Any:
    """Return a field's schema without text, marked if the text or the name says that it may be secret."""
    marked = {SECRET: True} if looks_secret(name, schema.get("description", "")) else {}
    return reduced(schema) | marked


# Parameters


def form_facts(spec: Any) -> dict[str, Any]:
    """Return the parameters of each method that has some, by path and method: those of a GET's query, those
    of a form otherwise."""
    forms = {path: parameters(methods) for path, methods in spec["paths"].items()}
    return {path: each for path, each in forms.items() if each}


def parameters(methods: Any) -> dict[str, Any]:
    found = dict[str, Any]()
    for method, described in methods.items():
        query = [each for each in described.get("parameters", ()) if each["in"] == "query"]
        fields = {each["name"]: each["schema"] for each in query}
        required = [each["name"] for each in query if each["required"]]
        asked = {"type": "object", "properties": fields, "required": required}
        forms = described.get("requestBody", {}).get("content", {}).values()
        for schema in [asked] if method == "get" else [form["schema"] for form in forms]:
            if schema.get("properties"):
                found[method] = form_type(schema)
    return found


def form_type(schema: Any) -> Any:
    """Return a parameter's type: a word, `[type]` for an array, or an object. That is a hash of types, in
    which `!` ends the names that are required, and `*` stands for any name; or `{"=": values}`, or
    `{"|": types}` for any of them, or `{"?": type}` for one that "" empties."""
    if "anyOf" in schema:
        types = [form_type(each) for each in schema["anyOf"] if each.get("enum") != [""]]
        kind = types[0] if len(types) == 1 else {"|": types}
        return {"?": kind} if len(types) < len(schema["anyOf"]) else kind
    match schema["type"]:
        case "array":
            return [form_type(schema["items"])]
        case "object" if "properties" in schema:
            required = schema.get("required", ())
            return {
                name + "!" * (name in required): form_type(each)
                for name, each in schema["properties"].items()
            }
        case "object":
            inner = form_type(schema["additionalProperties"])
            return "map" if inner == "string" else {"*": inner}
    if "" in schema.get("enum", ()):
        return {"?": {"=": sorted({*schema["enum"]} - {""})}}
    if "enum" in schema:
        return {"=": sorted(schema["enum"])}
    return "decimal" if schema.get("format") == "decimal" else schema["type"]


# The SDK


def extract_sdk(package: str, version: str, preview: str | None) -> None:
    """Write what a version of the SDK has beyond the document. Print what has changed since the last one."""
    last = read(SDK) if SDK.exists() else {}
    new = downloaded(package, version)
    facts = additions(new, read(STRIPE), last.get("older", {"fields": {}, "query": {}}))
    facts |= {"package": f"{package} {version}", "preview": last.get("preview", {})}
    if preview:
        coming = downloaded(package, preview)
        facts["preview"] = {
            "event_types": sorted({*coming["event_types"]} - {*new["event_types"]}),
            "version": coming["version"],
        }
    SDK.write_text(text(facts) + "\n")
    if last and last["package"] != facts["package"]:
        print(*changes(new, downloaded(*last["package"].split())), sep="\n")


# The reference connector


def reference_facts(discovered: Any, spec: Any) -> dict[str, Any]:
    """Return the only answer to spec, and those to discover by the stream's name."""
    [answer] = spec
    return {
        "spec": without_text(answer),
        "streams": {each["recommendedName"]: without_text(each) for each in discovered},
    }


def without_text(answer: Any) -> Any:
    """Return an answer with a digest in place of each description."""
    if isinstance(answer, list):
        return [without_text(each) for each in answer]
    if not isinstance(answer, dict):
        return answer
    return {
        name: digest(each) if name == "description" and isinstance(each, str) else without_text(each)
        for name, each in answer.items()
    }


def digest(description: str) -> str:
    return hashlib.sha256(description.encode()).hexdigest()[:12]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("package", help="the SDK's name in the package index")
    parser.add_argument("version", help="the SDK's version")
    parser.add_argument("--preview", help="the version of a public preview")
    parser.add_argument("--document", type=Path, help="Stripe's OpenAPI document, spec3.json")
    parser.add_argument(
        "--reference", type=Path, nargs=2, help="the reference's answers to discover and spec"
    )
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    if given.document:
        spec = json.loads(given.document.read_bytes())
        STRIPE.write_text(text(document_facts(spec)) + "\n")
        FORMS.write_text(text(form_facts(spec)) + "\n")
    if given.reference:
        answers = [json.loads(each.read_bytes()) for each in given.reference]
        REFERENCE.write_text(text(reference_facts(*answers)) + "\n")
    extract_sdk(given.package, given.version, given.preview)
