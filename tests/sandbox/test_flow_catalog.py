"""What a flow.yaml may hold, and what is said of one that holds something else."""

import os
from pathlib import Path
from typing import Any

import pytest

from sandbox.flow.catalog import load_catalog
from sandbox.flow.errors import CatalogError
from sandbox.flow.sops import decrypted
from tests.sandbox.fake_connector import capture, catalog, written


def file(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_imports_are_relative_to_the_file_that_has_them(tmp_path: Path) -> None:
    source = file(tmp_path / "flow.yaml", "import: [a/flow.yaml]\n")
    file(tmp_path / "a/flow.yaml", "import: [b/flow.yaml, ../flow.yaml]\n")
    file(tmp_path / "a/b/flow.yaml", "collections: {x/y: {schema: y.json, key: [/id]}}\n")
    file(tmp_path / "a/b/y.json", '{"type": "object"}')
    loaded = load_catalog(source)
    assert loaded.collections["x/y"].write_schema == {"type": "object"}
    assert loaded.origins == {"x/y": tmp_path / "a/b/flow.yaml"}


def test_config_and_resource_may_be_files(tmp_path: Path) -> None:
    content = catalog()
    content["captures"]["acmeCo/fake"]["endpoint"]["local"]["config"] = "config.yaml"
    content["captures"]["acmeCo/fake"]["bindings"][0]["resource"] = "prices.json"
    source = written(tmp_path, content)
    file(
        tmp_path / "config.yaml",
        "start_date: 2020-01-01T00:00:00Z\nday: 2020-01-01\nanswer: no\nport: 0o17\n",
    )
    file(tmp_path / "prices.json", '{"name": "Prices"}')
    model = load_catalog(source).captures["acmeCo/fake"]
    assert model.endpoint.local is not None
    dates = {"start_date": "2020-01-01T00:00:00Z", "day": "2020-01-01"}
    assert model.endpoint.local.config == {**dates, "answer": "no", "port": 15}
    assert model.bindings[0].resource == {"name": "Prices"}


def test_read_schema_is_not_what_documents_are_held_against(tmp_path: Path) -> None:
    schemas = {"writeSchema": {"type": "object"}, "readSchema": {"type": "string"}}
    source = written(tmp_path, {"collections": {"acmeCo/A": {**schemas, "key": ["/id"]}}})
    assert load_catalog(source).collections["acmeCo/A"].write_schema == {"type": "object"}


def test_capture_without_an_interval_has_that_of_flow(tmp_path: Path) -> None:
    content = catalog()
    del content["captures"]["acmeCo/fake"]["interval"]
    assert load_catalog(written(tmp_path, content)).captures["acmeCo/fake"].interval == 300


LOCAL = {"command": ["x"], "config": {}}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"capture": {}}, "capture: this field is unknown here"),
        (
            {"captures": {"acmeCo/a": {**capture(), "autoDiscover": {}}}},
            "autoDiscover: this field is unknown",
        ),
        ({"captures": {"acmeCo/a": {"endpoint": {"local": {**LOCAL, "cwd": "."}}}}}, "local cwd: this field"),
        ({"captures": {"acmeCo/a": {"endpoint": {}}}}, "takes one of `local` and `connector`"),
        ({"captures": {"acmeCo/a": {"endpoint": {"local": {**LOCAL, "command": []}}}}}, "command: "),
        ({"captures": {"acmeCo/a": {**capture(), "interval": "5"}}}, "interval: '5' is not a duration"),
        (
            {"captures": {"acmeCo/a": {**capture(), "shards": {"logLevel": "loud"}}}},
            "logLevel: is none of trace",
        ),
        ({"captures": {"a": capture()}}, "captures a "),
        ({"collections": {"acmeCo/a b": {"schema": True, "key": ["/id"]}}}, "collections acmeCo/a b "),
        ({"collections": {"acmeCo/A": {"schema": True, "key": ["id"]}}}, "key 0: "),
        ({"collections": {"acmeCo/A": {"schema": True, "key": []}}}, "key: "),
        ({"collections": {"acmeCo/A": {"writeSchema": True, "key": ["/id"]}}}, "either `schema`, or both"),
        ({"collections": {"acmeCo/A": {"key": ["/id"]}}}, "either `schema`, or both"),
        (["a"], "the file: "),
        ({"import": ["none.yaml"]}, "none.yaml: No such file"),
        ({"collections": {"acmeCo/A": {"schema": "none.yaml", "key": ["/id"]}}}, "none.yaml: No such file"),
    ],
)
def test_catalog_that_flow_would_refuse_is_refused(tmp_path: Path, content: Any, told: str) -> None:
    source = written(tmp_path, content)
    with pytest.raises(CatalogError) as caught:
        load_catalog(source)
    assert str(tmp_path) in str(caught.value)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("captures:\n  a: b: c\n", "flow.yaml:2: "),
        ("captures: {}\ncaptures: {}\n", "flow.yaml:2: "),
        ("captures: {1: {}}\n", "flow.yaml: "),
        ("captures: !!binary aGVsbG8=\n", "flow.yaml: is not JSON"),
    ],
)
def test_text_that_is_no_json_in_yaml_is_refused_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(CatalogError) as caught:
        load_catalog(file(tmp_path / "flow.yaml", text))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"), [("a: b: c\n", "y.yaml:1: "), ("[1]", "y.yaml: a schema is an object or a boolean")]
)
def test_schema_in_a_file_is_parsed_once_it_is_asked_for(tmp_path: Path, text: str, told: str) -> None:
    file(tmp_path / "y.yaml", text)
    collections = {"x/y": {"writeSchema": "y.yaml", "readSchema": "y.yaml", "key": ["/id"]}}
    collection = load_catalog(written(tmp_path, {"collections": collections})).collections["x/y"]
    for name in ("write_schema", "read_schema"):
        with pytest.raises(CatalogError) as caught:
            getattr(collection, name)
        assert told in str(caught.value)
    file(tmp_path / "y.yaml", "type: object")
    collection = load_catalog(written(tmp_path, {"collections": collections})).collections["x/y"]
    assert collection.write_schema == collection.read_schema == {"type": "object"}


def test_name_that_two_files_define_is_refused(tmp_path: Path) -> None:
    content = catalog()
    written(tmp_path, {"collections": content["collections"]}, "other.yaml")
    with pytest.raises(CatalogError, match=r"other\.yaml: acmeCo/Prices is defined in .*flow\.yaml already"):
        load_catalog(written(tmp_path, {**content, "import": ["other.yaml"]}))


SOPS = """#!/bin/sh
[ "$*" = "--decrypt --input-type json --output-type json /dev/stdin" ] || { echo "flags: $*" >&2; exit 1; }
grep -q '"token_sops":"ENC' || { echo "no key to decrypt the data key" >&2; exit 1; }
echo '{"token_sops":"plain","deep":[{"key_sops":1}],"port":5432}'
"""
ENCRYPTED = {"token_sops": "ENC[x]", "port": 5432, "sops": {"encrypted_suffix": "_sops"}}


@pytest.fixture
def _sops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = file(tmp_path / "bin/sops", SOPS)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("_sops")
async def test_encrypted_config_reaches_the_connector_decrypted() -> None:
    assert await decrypted(ENCRYPTED) == {"token": "plain", "deep": [{"key": 1}], "port": 5432}


@pytest.mark.usefixtures("_sops")
async def test_encrypted_config_that_sops_cannot_read_is_an_error() -> None:
    with pytest.raises(CatalogError, match="sops can't decrypt the endpoint config: no key"):
        await decrypted({"sops": {}})


async def test_encrypted_config_without_sops_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CatalogError, match="install sops"):
        await decrypted(ENCRYPTED)


async def test_config_that_is_not_encrypted_is_left_alone() -> None:
    assert await decrypted({"sops": "x", "a_sops": 1}) == {"sops": "x", "a_sops": 1}
