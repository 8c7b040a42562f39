"""What a user sees of spec, discover and preview, held word for word.

Changes show in a diff of tests/snapshots; `pytest --insta update` takes them over. The files have the
names and the form that they have in Estuary's own connectors: an element for each line of stdout.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from tests.flowctl import FLOWCTL, ROOT, with_stripe
from tools.extract_facts import without_text
from tools.facts import REFERENCE, read

SNAPSHOTS = Path(__file__).parent / "snapshots"
STALE = "tests/snapshots is stale: look at the change, then run pytest --insta=update tests/test_snapshots.py"
Snapshot = Any  # pytest-insta ships no types for its fixture


async def test_spec(snapshot: Snapshot) -> None:
    ran = await with_stripe("raw", "spec", "--source", "test.flow.yaml")
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert snapshot("stdout.json") == json_lines(ran.stdout), STALE


async def test_discover(snapshot: Snapshot) -> None:
    ran = await with_stripe("raw", "discover", "--source", "test.flow.yaml", "--emit-raw")
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert snapshot("stdout.json") == json_lines(ran.stdout), STALE


async def test_capture(snapshot: Snapshot) -> None:
    """The nine prices of the local Stripe, active and archived."""
    ends = ("--until-caught-up",) if "sandbox" in FLOWCTL else ("--delay", "500ms", "--timeout", "3s")
    ran = await with_stripe("preview", "--source", "test-prices.flow.yaml", *ends)
    assert (ran.exit_code, ran.stderr) == (0, "")
    captured = sorted(json_lines(ran.stdout), key=lambda each: each[1]["id"])
    assert len(captured) == 9
    assert snapshot("stdout.json") == captured, STALE


def json_lines(stdout: str) -> list[Any]:
    return [json.loads(line) for line in stdout.splitlines()]


async def test_discover_writes_the_catalog_that_is_in_the_project(tmp_path: Path) -> None:
    for name in ("test.flow.yaml", "config.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "acmeCo", tmp_path / "acmeCo")
    ran = await with_stripe("raw", "discover", "--source", "test.flow.yaml", cwd=tmp_path)
    assert ran.exit_code == 0, ran.stderr
    stale = [each for each, text in yaml_files(tmp_path).items() if not is_text_of(ROOT / each, text)]
    assert stale == [], f"run make discover, which writes {', '.join(map(str, stale))}"


def yaml_files(root: Path) -> dict[Path, str]:
    return {each.relative_to(root): each.read_text() for each in sorted(root.rglob("*.yaml"))}


def is_text_of(file: Path, text: str) -> bool:
    return file.exists() and file.read_text() == text


def test_prices_are_discovered_as_the_reference_connector_does() -> None:
    found = json.loads((SNAPSHOTS / "snapshots__discover__stdout.json").read_text())
    ours = {each["recommendedName"]: each for each in found}
    assert without_text(ours["Prices"]) == read(REFERENCE)["streams"]["Prices"]
