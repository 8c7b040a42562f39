"""Read what a version of Stripe's published Python SDK says of the API: its lists and their parameters, its
objects, its event types.

Rules: nothing of the package is imported or run: its modules are read by their syntax tree. The answer has
the shape of the facts of Stripe's OpenAPI document (extract_facts.py): both can be compared and merged. A
class inside another is a schema of its own, named after both: `product_catalog.trial_offer.Duration`.

Limits: the SDK does not tell which fields an object always has, how long a text may be, or which older paths
Stripe still serves.
"""

import ast
import re
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tools.facts import references

Json = dict[str, Any]

REFERENCE: Final = "#/components/schemas/"
PLAIN: Final = {
    "Any": {},
    "Decimal": {"type": "string"},
    "bool": {"type": "boolean"},
    "float": {"type": "number"},
    "int": {"type": "integer"},
    "object": {},
    "str": {"type": "string"},
}
METHODS: Final = {"get", "post", "delete"}
SECRET: Final = "x-secret"
"""The keyword of a field that may have a secret."""

_SECRET_NAMES: Final = re.compile(
    r"(.*_)?(secret|password|passcode|cvc|cvv|cryptogram|auth_code|authorization_code|private_key)"
    r"|(client|cvc|access|auth|refresh)_token"
)
_SECRET_TEXT: Final = re.compile(
    r"access token|authorization code|client secret|cryptogram|passcode|password (for|of|to)|pre-?signed"
    r"|secret (key|value)|short-lived|signing secret|store (it|this|this value) securely|unredacted"
    r"|URL for (performing|presenting)",
    re.IGNORECASE,
)


def looks_secret(name: str, description: str) -> bool:
    """Whether a field's name or description says that it has something with which who knows it may act."""
    return bool(_SECRET_NAMES.fullmatch(name) or _SECRET_TEXT.search(description))


def downloaded(package: str, version: str) -> Json:
    """Return what a published version of the SDK says. pip downloads it into a folder that is removed."""
    with TemporaryDirectory() as folder:
        pip = ("pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:")
        subprocess.run((*pip, "--dest", folder, f"{package}=={version}"), check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        return Sdk(Path(folder) / package).facts()


@dataclass(frozen=True)
class Scope:
    """Where a name is looked up: a module, and the classes around it, outermost first."""

    module: str
    classes: tuple[ast.ClassDef, ...] = ()


class Sdk:
    """The modules of one version, which is unpacked in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._schemas: dict[str, Json] = {}
        self._parse = cache(self._read)
        self._imports = cache(self._imported)

    def facts(self) -> Json:
        paths = self._paths()
        wanted = {name for methods in paths.values() for each in methods.values() for name in _named(each)}
        for name in wanted & self._resources.keys():
            self._reference(Scope(*self._resources[name]))
        return {
            "error_codes": self._error_codes(),
            "event_types": self._event_types(),
            "paths": paths,
            "schemas": self._schemas,
            "thin_event_types": self._thin_event_types(),
            "version": self._version(),
        }

    def _error_codes(self) -> list[str]:
        """The codes of errors, as an invoice shows the error of its finalization."""
        error = self._schemas.get("invoice.LastFinalizationError", {"properties": {"code": {"enum": []}}})
        codes: list[str] = error["properties"]["code"]["enum"]
        return codes

    # Modules and names

    def _read(self, module: str) -> ast.Module:
        path = self._folder.parent / Path(*module.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        return ast.parse(file.read_text())

    def _modules(self, pattern: str) -> Iterator[str]:
        for file in sorted(self._folder.glob(pattern)):
            yield ".".join(file.relative_to(self._folder.parent).with_suffix("").parts)

    def _imported(self, module: str) -> dict[str, tuple[str, str]]:
        return {
            name.asname or name.name: (node.module, name.name)
            for node in ast.walk(self._parse(module))
            if isinstance(node, ast.ImportFrom) and node.module
            for name in node.names
        }

    @cached_property
    def _resources(self) -> dict[str, tuple[str, tuple[ast.ClassDef, ...]]]:
        """The class of each object, by what the object calls itself."""
        found: dict[str, tuple[str, tuple[ast.ClassDef, ...]]] = {}
        for module in self._modules("**/_*.py"):
            for node in self._parse(module).body:
                if isinstance(node, ast.ClassDef) and (name := _object_name(node)):
                    found[name] = (module, (node,))
        return found

    def _lookup(self, name: str, scope: Scope) -> Scope:
        """Where the class of a name stands, which may be a path with dots."""
        first, _, rest = name.partition(".")
        found = None
        for depth in range(len(scope.classes), -1, -1):
            body = scope.classes[depth - 1].body if depth else self._parse(scope.module).body
            if inner := _class(body, first):
                found = Scope(scope.module, (*scope.classes[:depth], inner))
                break
        if found is None:
            module, original = self._imports(scope.module)[first]
            return self._lookup(f"{original}.{rest}" if rest else original, Scope(module))
        while rest:
            first, _, rest = rest.partition(".")
            inner = _class(found.classes[-1].body, first)
            assert inner, name
            found = Scope(found.module, (*found.classes, inner))
        return found

    # Types

    def _schema(self, node: ast.expr, scope: Scope) -> Json:
        """The schema of an annotation."""
        match node:
            case ast.Constant(value=str(text)):
                return self._schema(ast.parse(text, mode="eval").body, scope)
            case ast.Constant(value=None):
                return {"nullable": True}
            case ast.Name(id=name) if name in PLAIN:
                return dict(PLAIN[name])
            case ast.Name() | ast.Attribute():
                return {"$ref": REFERENCE + self._reference(self._lookup(ast.unparse(node), scope))}
            case ast.BinOp(left=left, right=right):
                return self._union([left, right], scope)
            case ast.Subscript(value=ast.Name(id=name), slice=inner):
                return self._generic(name, inner, scope)
        raise ValueError(f"unknown type in {scope.module}: {ast.unparse(node)}")

    def _generic(self, name: str, inner: ast.expr, scope: Scope) -> Json:
        members = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        match name:
            case "Optional":
                return self._schema(inner, scope) | {"nullable": True}
            case "NotRequired":
                return self._schema(inner, scope)
            case "Union":
                return self._union(members, scope)
            case "Literal":
                values = [each.value for each in members if isinstance(each, ast.Constant)]
                kind = "boolean" if isinstance(values[0], bool) else "string"
                return {"type": kind, "enum": sorted(values)}
            case "ExpandableField":
                return self._union([ast.Name("str"), *members], scope)
            case "List":
                return {"type": "array", "items": self._schema(inner, scope)}
            case "ListObject":
                data = {"type": "array", "items": self._schema(inner, scope)}
                return {"type": "object", "properties": {"data": data} | LIST, "x-expandableFields": ["data"]}
            case "Dict" | "UntypedStripeObject":
                return {"type": "object", "additionalProperties": self._schema(members[-1], scope)}
        raise ValueError(f"unknown type in {scope.module}: {name}")

    def _union(self, members: list[ast.expr], scope: Scope) -> Json:
        schemas = [self._schema(each, scope) for each in members]
        parts: list[Json] = []
        for each in schemas:
            parts += each.get("anyOf", [each])
        enums = [each for each in parts if "enum" in each]
        if enums and all(each.get("type") == enums[0]["type"] for each in parts):
            return enums[0]
        distinct = [each for place, each in enumerate(parts) if each not in parts[:place]]
        return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}

    def _reference(self, scope: Scope) -> str:
        """The name of a class's schema, which is made unless it is there."""
        outer = scope.classes[0]
        name = ".".join(
            [_object_name(outer) or outer.name, *(each.name for each in scope.classes[1:])],
        )
        if name not in self._schemas:
            self._schemas[name] = {}  # it may refer to itself
            self._schemas[name].update(self._object(scope, is_resource=len(scope.classes) == 1, name=name))
        return name

    def _object(self, scope: Scope, *, is_resource: bool, name: str) -> Json:
        found = {
            field: schema | ({SECRET: True} if looks_secret(field, text) else {})
            for field, schema, text in self._fields(scope)
        }
        expandable = sorted(each for each in found if REFERENCE in str(found[each]))
        schema: Json = {"type": "object", "properties": found}
        if expandable:
            schema["x-expandableFields"] = expandable
        if is_resource and _object_name(scope.classes[0]):
            schema["x-resourceId"] = name
        return schema

    def _fields(self, scope: Scope) -> Iterator[tuple[str, Json, str]]:
        """Each field of a class, with its schema and its description."""
        body = scope.classes[-1].body
        renamed: dict[str, str] = {}
        for node in body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_field_remappings":
                renamed = ast.literal_eval(node.value)
        for node, after in zip(body, [*body[1:], ast.Pass()], strict=True):
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            name = node.target.id
            if name.startswith("_") or name == "deleted" or "ClassVar" in ast.unparse(node.annotation):
                continue
            match after:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    pass
                case _:
                    text = ""
            yield renamed.get(name, name), self._schema(node.annotation, scope), text

    # Paths

    def _paths(self) -> Json:
        """Each path, and by method what it lists or returns, with the query parameters of a GET."""
        found: dict[str, Json] = {}
        for module in self._modules("**/_*_service.py"):
            for service in self._parse(module).body:
                for node in service.body if isinstance(service, ast.ClassDef) else ():
                    if isinstance(node, ast.FunctionDef) and (request := _request(node)):
                        method, path = request
                        scope = Scope(module)
                        found.setdefault(path, {})[method] = self._operation(method, node, scope)
        return found

    def _operation(self, method: str, node: ast.FunctionDef, scope: Scope) -> Json:
        answer = node.returns
        assert answer is not None
        if isinstance(answer, ast.Constant):
            answer = ast.parse(str(answer.value), mode="eval").body
        is_list = isinstance(answer, ast.Subscript) and ast.unparse(answer.value) in LISTS
        inner = answer.slice if is_list and isinstance(answer, ast.Subscript) else answer
        schema = self._schema(inner, scope)
        facts: Json = {"lists" if is_list else "returns": references(schema)}
        if method == "get":
            facts["query"] = self._query(node, scope)
        return facts

    def _query(self, node: ast.FunctionDef, scope: Scope) -> Json:
        given = [each for each in node.args.args if each.arg == "params" and each.annotation]
        if not given or (annotation := given[0].annotation) is None:
            return {}
        name = re.sub(r"Optional\[|[\]'\"]", "", ast.unparse(annotation))
        found = self._lookup(name, scope)
        query: Json = {}
        for field in found.classes[-1].body:
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                text = ast.unparse(field.annotation)
                required = {} if text.startswith("NotRequired") else {"required": True}
                values = re.findall(r"Literal\[(.*?)\]", text)
                enum = sorted(re.findall(r"'([^']+)'", values[0])) if values and "List" not in text else []
                query[field.target.id] = required | ({"enum": enum} if enum else {})
        return query

    # Events and the version

    def _event_types(self) -> list[str]:
        """The types that a webhook endpoint can be made for."""
        (module,) = self._modules("params/_webhook_endpoint_create_params.py")
        text = ast.unparse(_class(self._parse(module).body, "WebhookEndpointCreateParams") or ast.Pass())
        (types,) = re.findall(r"enabled_events: List\[.*?Literal\[(.*?)\]", text, re.DOTALL)
        return sorted(set(re.findall(r"'([^']+)'", types)) - {"*"})

    def _thin_event_types(self) -> dict[str, list[str]]:
        """The types of /v2/core/events, by the object that such an event names; "" where it names none."""
        found: dict[str, list[str]] = {}
        for module in self._modules("events/_*_event.py"):
            (lookup,) = re.findall(r"LOOKUP_TYPE = '([\w.\[\]]+)'", ast.unparse(self._parse(module)))[:1]
            fetches = [
                node.returns
                for node in ast.walk(self._parse(module))
                if isinstance(node, ast.FunctionDef) and node.name == "fetch_related_object"
            ]
            names = references(self._schema(fetches[0], Scope(module))) if fetches and fetches[0] else [""]
            found.setdefault(names[0], []).append(lookup)
        return {name: sorted(types) for name, types in sorted(found.items())}

    def _version(self) -> str:
        (module,) = self._modules("_api_version.py")
        (version,) = re.findall(r"CURRENT = '(.*?)'", ast.unparse(self._parse(module)))
        return str(version)


LIST: Final[Json] = {
    "has_more": {"type": "boolean"},
    "object": {"enum": ["list"], "type": "string"},
    "url": {"type": "string"},
}
LISTS: Final = {"ListObject", "SearchResultObject", "V2ListObject"}


def _named(operation: Json) -> list[str]:
    return [*operation.get("lists", ()), *operation.get("returns", ())]


def _class(body: list[ast.stmt], name: str) -> ast.ClassDef | None:
    return next((each for each in body if isinstance(each, ast.ClassDef) and each.name == name), None)


def _object_name(node: ast.ClassDef) -> str:
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and ast.unparse(each.target) == "OBJECT_NAME" and each.value:
            return str(ast.literal_eval(each.value))
    return ""


def _request(node: ast.FunctionDef) -> tuple[str, str] | None:
    """The method and the path of a service's request, with the path's parameters in braces."""
    for call in ast.walk(node):
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "self._request":
            continue
        method, path = call.args[:2]
        if isinstance(path, ast.Call) and isinstance(path.func, ast.Attribute):
            path = path.func.value
        if isinstance(method, ast.Constant) and isinstance(path, ast.Constant) and method.value in METHODS:
            return str(method.value), str(path.value)
    return None
