"""`raw discover` and `raw spec`: what they print, and what becomes of a user's files."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sandbox.__main__ import main
from sandbox.flow import yamls
from sandbox.flow.catalog import load_catalog
from tests.sandbox.fake_connector import SPEC, catalog, written

SMALL = {"type": "object", "required": ["id"]}
LARGE = {"type": "object", "properties": {f"property_{n}": {"type": "string"} for n in range(20)}}


def found(name: str, schema: Any = SMALL, **more: Any) -> dict[str, Any]:
    resource = {"name": name, "interval": "PT5M", "schedule": ""}
    return {
        "recommendedName": name,
        "resourceConfig": resource,
        "documentSchema": schema,
        "key": ["/id"],
        **more,
    }


def told(*bindings: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A catalog whose connector discovers these bindings."""
    return catalog(answers={"discover": {"bindings": list(bindings)}, **more})


def raw(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, ["raw", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result


def capture_of(source: Path) -> dict[str, Any]:
    content: dict[str, Any] = yamls.load(source)["captures"]["acmeCo/fake"]
    return content


def source_text(directory: Path, bindings: dict[str, Any], text: str) -> Path:
    """A flow.yaml whose capture, the fake's, goes on with `text`."""
    written(directory, bindings["captures"]["acmeCo/fake"]["endpoint"], "endpoint.json")
    local = bindings["captures"]["acmeCo/fake"]["endpoint"]["local"]
    source = directory / "flow.yaml"
    endpoint = f"    endpoint: {json.dumps({'local': local})}\n"
    source.write_text(f"# Ours\ncaptures:\n  acmeCo/fake: # the fake\n{endpoint}{text}")
    return source


def test_emit_raw_prints_a_line_for_each_binding_and_writes_nothing(tmp_path: Path) -> None:
    content = told(
        found("Prices", disable=False, isFallbackKey=False, resourcePath=None),
        found("Plans", disable=True, isFallbackKey=True),
    )
    source = written(tmp_path, content)
    before = source.read_text()
    out = raw("discover", "--source", source, "--emit-raw").stdout
    resource = '"resourceConfig":{"name":"%s","interval":"PT5M","schedule":""}'
    rest = '"documentSchema":{"type":"object","required":["id"]},"key":["/id"]'
    assert out == (
        f'{{"recommendedName":"Prices",{resource % "Prices"},{rest}}}\n'
        f'{{"recommendedName":"Plans",{resource % "Plans"},{rest},"disable":true,"isFallbackKey":true}}\n'
    )
    assert source.read_text() == before
    assert list(tmp_path.iterdir()) == [source]


def test_bindings_and_collections_are_written_so_that_they_load(tmp_path: Path) -> None:
    source = source_text(
        tmp_path, told(found("Prices", LARGE), found("Plans", disable=True)), "    bindings: []\n"
    )
    result = raw("discover", "--source", source)
    assert result.stdout == f"Wrote 3 specifications under {source}.\n"
    assert capture_of(source)["bindings"] == [
        {"resource": found("Prices")["resourceConfig"], "target": "acmeCo/Prices"},
        {"resource": found("Plans")["resourceConfig"], "target": "acmeCo/Plans", "disable": True},
    ]
    assert yamls.load(source)["import"] == ["acmeCo/flow.yaml"]
    assert yamls.load(tmp_path / "acmeCo/flow.yaml") == {
        "collections": {
            "acmeCo/Prices": {"schema": "Prices.schema.yaml", "key": ["/id"]},
            "acmeCo/Plans": {"schema": SMALL, "key": ["/id"]},
        }
    }
    assert yamls.load(tmp_path / "acmeCo/Prices.schema.yaml") == LARGE
    assert load_catalog(source).collections["acmeCo/Prices"].write_schema == LARGE


def test_discovering_again_changes_no_byte(tmp_path: Path) -> None:
    source = source_text(tmp_path, told(found("Prices", LARGE), found("Plans")), "    interval: 1m\n")
    raw("discover", "--source", source)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    raw("discover", "--source", source)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


USERS = """\
    interval: 1m # often
    bindings:
      # the first
      - resource: {name: Accounts, interval: PT1H} # hourly
        target: acmeCo/Ledger/Accounts

      # gone
      - resource:
          name: Gone
        target: acmeCo/Gone
      # the last
      - target: acmeCo/Prices
        disable: true
        backfill: 2
        resource: prices.yaml
    # after all
    shards: {logLevel: info}
collections:
  # by hand
  acmeCo/Ledger/Accounts: {schema: true, key: [/id]}
  acmeCo/Prices:
    writeSchema: {type: object} # short
    readSchema: true
    key: [/other]
# end
"""

DISCOVERED = """\
    interval: 1m # often
    bindings:
      # the first
      - resource: {name: Accounts, interval: PT1H} # hourly
        target: acmeCo/Ledger/Accounts
      - resource:
          name: Plans
          interval: PT5M
          schedule: ''
        target: acmeCo/Plans
      # the last
      - target: acmeCo/Prices
        disable: true
        backfill: 2
        resource: prices.yaml
    # after all
    shards: {logLevel: info}
collections:
  # by hand
  acmeCo/Ledger/Accounts: {schema: {"type":"object","required":["id"]}, key: [/id]}
  acmeCo/Prices:
    writeSchema:
      type: object
      required:
        - id # short
    readSchema: true
    key:
      - /id
# end
"""


def test_what_a_user_chose_and_wrote_stays(tmp_path: Path) -> None:
    content = told(found("Accounts"), found("Plans"), found("Prices"))
    source = source_text(tmp_path, content, USERS)
    (tmp_path / "prices.yaml").write_text("name: Prices\n")
    raw("discover", "--source", source)
    head, _, rest = source.read_text().partition("    interval")
    assert head.startswith("# Ours\nimport:\n  - acmeCo/flow.yaml\ncaptures:\n  acmeCo/fake: # the fake\n")
    assert f"    interval{rest}" == DISCOVERED
    assert list(yamls.load(tmp_path / "acmeCo/flow.yaml")["collections"]) == ["acmeCo/Plans"]


def test_schema_in_a_file_is_brought_up_to_date_where_it_is(tmp_path: Path) -> None:
    source = source_text(tmp_path, told(found("Prices")), "    bindings: []\nimport: [mine.yaml] # mine\n")
    written(tmp_path, {"collections": {"acmeCo/Prices": {"schema": "a/p.json", "key": ["/id"]}}}, "mine.yaml")
    written(tmp_path, LARGE, "a/p.json")
    raw("discover", "--source", source)
    assert load_catalog(source).collections["acmeCo/Prices"].write_schema == SMALL
    assert yamls.load(source)["import"] == ["mine.yaml"]
    assert not (tmp_path / "acmeCo").exists()


def test_imports_that_are_there_stay(tmp_path: Path) -> None:
    text = "    bindings: []\nimport:\n  # mine\n  - mine.yaml # by hand\n"
    source = source_text(tmp_path, told(found("Prices")), text)
    written(tmp_path, {}, "mine.yaml")
    raw("discover", "--source", source)
    assert source.read_text().endswith("import:\n  # mine\n  - mine.yaml # by hand\n  - acmeCo/flow.yaml\n")


def test_flat_puts_collections_into_the_file_of_the_capture(tmp_path: Path) -> None:
    source = source_text(tmp_path, told(found("Prices", LARGE), found("Plans")), "    bindings: []\n")
    raw("discover", "--source", source, "--flat")
    assert "import" not in yamls.load(source)
    assert yamls.load(source)["collections"]["acmeCo/Prices"]["schema"] == "Prices.schema.yaml"
    assert load_catalog(source).collections["acmeCo/Prices"].write_schema == LARGE
    assert not (tmp_path / "acmeCo").exists()


def test_capture_in_an_imported_file_is_written_there(tmp_path: Path) -> None:
    inner = source_text(tmp_path, told(found("Prices")), "    bindings: []\n").rename(tmp_path / "inner.yaml")
    source = written(tmp_path, {}, "outer.yaml")
    source.write_text("# outer\nimport:\n  - inner.yaml\n")
    raw("discover", "--source", source, "--capture", "acmeCo/fake")
    assert capture_of(inner)["bindings"][0]["target"] == "acmeCo/Prices"
    assert source.read_text() == "# outer\nimport:\n  - inner.yaml\n  - acmeCo/flow.yaml\n"


@pytest.mark.parametrize("schema", [SMALL, LARGE])
def test_written_files_have_no_aliases(tmp_path: Path, schema: dict[str, Any]) -> None:
    source = source_text(
        tmp_path, told(found("Prices", schema), found("Plans", schema)), "    bindings: []\n"
    )
    raw("discover", "--source", source)
    texts = [path.read_text() for path in tmp_path.rglob("*.yaml")]
    assert all("&id" not in text and "*id" not in text for text in texts)


def test_discover_tells_the_connectors_error(tmp_path: Path) -> None:
    source = written(tmp_path, catalog(before={"discover": [{"error": "the key was revoked"}]}))
    result = CliRunner().invoke(main, ["raw", "discover", "--source", str(source)])
    assert result.exit_code == 1
    assert result.stderr == "ERROR the key was revoked\n"


def test_binding_without_a_schema_is_told(tmp_path: Path) -> None:
    binding = found("Prices")
    del binding["documentSchema"]
    result = CliRunner().invoke(main, ["raw", "discover", "--source", str(written(tmp_path, told(binding)))])
    assert result.exit_code == 1
    assert "a binding without documentSchema" in result.stderr


def test_spec_is_one_line_in_the_order_of_the_protocol(tmp_path: Path) -> None:
    source = written(tmp_path, catalog(answers={"spec": dict(reversed(SPEC.items()), oauth2=None)}))
    assert raw("spec", "--source", source).stdout == json.dumps(SPEC, separators=(",", ":")) + "\n"


def test_image_is_left_to_flowctl(tmp_path: Path) -> None:
    content = catalog()
    content["captures"]["acmeCo/fake"]["endpoint"] = {"connector": {"image": "x:dev", "config": {}}}
    result = CliRunner().invoke(main, ["raw", "spec", "--source", str(written(tmp_path, content))])
    assert result.exit_code == 1
    assert "acmeCo/fake is an image" in result.stderr


def test_sandbox_without_a_command_prints_its_help() -> None:
    result = CliRunner().invoke(main, [])
    assert result.exit_code == 0
    assert all(command in result.stdout for command in ("preview", "raw", "stripe"))
