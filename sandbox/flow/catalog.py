"""Flow catalogs: a flow.yaml file, and all that it imports, as typed data.

A field that is unknown here is an error, as it is to Flow; that includes the fields of Flow that say
nothing to a local capture. `config`, `resource` and schemas are written inline, or as the path of a file
next to the one that names it. A schema in a file is parsed when it is asked for: that takes most of the
time where streams are many, and `preview` alone needs it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    Base64Bytes,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from sandbox.flow import yamls
from sandbox.flow.duration import parse_duration
from sandbox.flow.errors import CatalogError
from sandbox.flow.logs import LEVELS


def _inline(value: Any, info: ValidationInfo) -> Any:
    """What is in the file that a string names; the validation's context is the file that names it."""
    assert info.context is not None
    return yamls.load(info.context.parent / value) if isinstance(value, str) else value


@dataclass(frozen=True)
class SchemaFile:
    """A file's text, and the schema that it is. To ask for the schema may raise CatalogError."""

    path: Path
    text: str

    @cached_property
    def schema(self) -> dict[str, Any] | bool:
        schema = yamls.parse(self.text, str(self.path))
        if not isinstance(schema, dict | bool):
            raise CatalogError(f"{self.path}: a schema is an object or a boolean")
        return schema


def _schema(value: Any, info: ValidationInfo) -> Any:
    assert info.context is not None
    path = info.context.parent / value if isinstance(value, str) else None
    return SchemaFile(path, yamls.read(path)) if path else value


def _seconds(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


def _log_level(value: str) -> str:
    if value not in LEVELS:
        raise ValueError(f"is none of {', '.join(LEVELS)}")
    return value


_Name = Annotated[str, Field(pattern=r"^[\w.\-]+(/[\w.\-]+)+$")]
_Pointer = Annotated[str, Field(pattern="^(/[^/]*)+$")]
_Object = Annotated[dict[str, Any], BeforeValidator(_inline)]
_Schema: TypeAlias = Annotated[dict[str, Any] | bool | SchemaFile, BeforeValidator(_schema)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Local(_Model):
    """A connector that is a program of this machine; it gets the environment, and `env` on top."""

    command: Annotated[list[str], Field(min_length=1)]
    config: _Object
    env: dict[str, str] = {}


class Image(_Model):
    """A connector that is a container image."""

    image: str
    config: _Object


class Endpoint(_Model):
    local: Local | None = None
    connector: Image | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "Endpoint":
        if (self.local is None) == (self.connector is None):
            raise ValueError("takes one of `local` and `connector`")
        return self


class Binding(_Model):
    resource: _Object
    target: _Name
    disable: bool = False
    backfill: Annotated[int, Field(ge=0)] = 0


class Shards(_Model):
    log_level: Annotated[str, AfterValidator(_log_level)] | None = Field(None, alias="logLevel")


class CaptureModel(_Model):
    endpoint: Endpoint
    bindings: list[Binding] = []
    interval: Annotated[float, BeforeValidator(_seconds)] = 300.0
    """How long after a connector opened it may be started again, in seconds."""
    shards: Shards = Shards()
    redact_salt: Annotated[Base64Bytes, Strict(False)] | None = Field(None, alias="redactSalt")


class Collection(_Model):
    schema_: _Schema | None = Field(None, alias="schema")
    write_schema_: _Schema | None = Field(None, alias="writeSchema")
    read_schema_: _Schema | None = Field(None, alias="readSchema")
    key: Annotated[list[_Pointer], Field(min_length=1)]

    @model_validator(mode="after")
    def _has_one_way_of_schemas(self) -> "Collection":
        given = [x is not None for x in (self.schema_, self.write_schema_, self.read_schema_)]
        if given not in ([True, False, False], [False, True, True]):
            raise ValueError("takes either `schema`, or both `writeSchema` and `readSchema`")
        return self

    @property
    def write_schema(self) -> dict[str, Any] | bool:
        schema = self.write_schema_ if self.schema_ is None else self.schema_
        assert schema is not None
        return schema.schema if isinstance(schema, SchemaFile) else schema

    @property
    def read_schema(self) -> dict[str, Any] | bool | None:
        schema = self.read_schema_
        return schema.schema if isinstance(schema, SchemaFile) else schema


class _File(_Model):
    import_: list[str] = Field([], alias="import")
    captures: dict[_Name, CaptureModel] = {}
    collections: dict[_Name, Collection] = {}


@dataclass(frozen=True)
class Catalog:
    """A source file and all that it imports. `origins` is the file of each capture and collection."""

    source: Path
    files: Sequence[Path] = ()
    captures: Mapping[str, CaptureModel] = field(default_factory=dict)
    collections: Mapping[str, Collection] = field(default_factory=dict)
    origins: Mapping[str, Path] = field(default_factory=dict)

    def capture_name(self, name: str | None) -> str:
        """The capture that is meant by `name`, or by no name where there is only one."""
        if name is None and len(self.captures) == 1:
            return next(iter(self.captures))
        known = ", ".join(self.captures) or "none"
        if name is None:
            raise CatalogError(f"{self.source}: say which capture is meant, by its name; there are: {known}")
        if name not in self.captures:
            raise CatalogError(f"{self.source}: there is no capture {name}; there are: {known}")
        return name


def load_catalog(source: Path) -> Catalog:
    """Reads a file and, each once, the files that it imports. Raises CatalogError."""
    captures: dict[str, CaptureModel] = {}
    collections: dict[str, Collection] = {}
    origins: dict[str, Path] = {}
    files, waiting = dict[Path, Path](), [source]
    while waiting:
        path = waiting.pop(0)
        if path.resolve() in files:
            continue
        files[path.resolve()] = path
        file = _read(path)
        for name in (*file.captures, *file.collections):
            if name in origins:
                raise CatalogError(f"{path}: {name} is defined in {origins[name]} already")
            origins[name] = path
        captures |= file.captures
        collections |= file.collections
        waiting += [path.parent / imported for imported in file.import_]
    return Catalog(source, tuple(files.values()), captures, collections, origins)


def _read(path: Path) -> _File:
    try:
        return _File.model_validate(yamls.load(path) or {}, context=path)
    except ValidationError as error:
        raise CatalogError(f"{path}: {'; '.join(_reasons(error.errors()))}") from error


def _reasons(errors: Iterable[Any]) -> Iterable[str]:
    for error in errors:
        where = " ".join(str(step) for step in error["loc"] if not str(step).startswith("function-"))
        unknown = error["type"] == "extra_forbidden"
        reason = "this field is unknown here" if unknown else error["msg"].removeprefix("Value error, ")
        yield f"{where or 'the file'}: {reason}"
