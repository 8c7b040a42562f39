"""What stands in the documentation beside its commands and queries: configs, links, names and sentences."""

import io
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, Final

import pytest
from rich.console import Console
from ruamel.yaml import YAML

from sandbox.flow.catalog import load_catalog
from sandbox.flow.screen import Row, live_table
from source_stripe_native.flow.requests import refuse_unknown
from source_stripe_native.models import EndpointConfig, ResourceConfig
from tests.capture import ROWS
from tests.documentation import ROOT, anchors, blocks, codes, links, pages, sentences, text_of

NAMES: Final = set(ROWS)
LONGEST_SENTENCE: Final = 35
"""Words."""

# Configs


@pytest.mark.parametrize(
    "page", [each for each in pages() if {"yaml", "json"} & {b.language for b in blocks(each)}]
)
def test_every_config_and_state_can_be_read(page: str, tmp_path: Path) -> None:
    (tmp_path / "my.config.yaml").write_text((ROOT / "config.yaml").read_text())
    for block in blocks(page):
        place = f"{page}:{block.line}"
        if block.language == "json":
            json.loads(block.text)
        if block.language != "yaml":
            continue
        found = YAML(typ="safe").load(block.text)
        assert isinstance(found, dict), place
        if "captures" in found:
            file = tmp_path / "flow.yaml"
            file.write_text(block.text)
            for capture in load_catalog(file).captures.values():
                endpoint = capture.endpoint.local or capture.endpoint.connector
                assert endpoint, place
                EndpointConfig.model_validate(endpoint.config)
                for binding in capture.bindings:
                    assert ResourceConfig.model_validate(binding.resource).name in NAMES, place
        elif "name" in found:
            assert ResourceConfig.model_validate(found).name in NAMES, place
        else:
            refuse_unknown(plain(found))
            EndpointConfig.model_validate({"credentials": CREDENTIALS} | plain(found))


CREDENTIALS: Final = {"credentials_title": "Private App Credentials", "access_token": "rk_live_..."}


def plain(config: dict[str, Any]) -> dict[str, Any]:
    """A config as Flow hands it on: without the suffix of fields that are to be encrypted."""
    return {
        key.removesuffix("_sops"): plain(value) if isinstance(value, dict) else value
        for key, value in config.items()
    }


# Links and names


def test_every_link_leads_somewhere() -> None:
    broken = []
    for page in pages():
        for line, target in links(page):
            if re.match(r"https?://|mailto:", target):
                continue
            path, _, anchor = target.partition("#")
            place = (ROOT / page).parent / path if path else ROOT / page
            found = place.resolve().relative_to(ROOT.resolve())
            if not place.exists() or (anchor and anchor not in anchors(str(found))):
                broken.append(f"{page}:{line}: {target}")
    assert broken == []


def test_every_file_and_test_that_a_page_names_exists() -> None:
    sources = "\n".join(each.read_text() for each in (ROOT / "tests").rglob("*.py"))
    missing = []
    for page in pages():
        for line, code in codes(page):
            is_path = re.fullmatch(r"(tests|sandbox|source_stripe_native|tools|docs|bench)/[\w./-]+", code)
            if is_path and not (ROOT / code).exists():
                missing.append(f"{page}:{line}: {code}")
            if re.fullmatch(r"test_\w+_\w+", code) and not re.search(rf"def {code}\b", sources):
                missing.append(f"{page}:{line}: {code}")
    assert missing == []


def test_every_page_is_in_the_table_of_contents() -> None:
    linked = {target.partition("#")[0] for _, target in links("README.md")}
    assert [each for each in pages() if each.startswith("docs/") and each not in linked] == []


def test_sentences_are_short() -> None:
    long = [
        f"{page}:{line}: {sentence}"
        for page in pages()
        if page != "docs/architecture.md"
        for line, sentence in sentences(page)
        if len(sentence.split()) > LONGEST_SENTENCE
    ]
    assert long == []


def test_each_question_of_a_new_user_has_an_answer_of_its_own_two_clicks_from_the_readme() -> None:
    assert "docs/README.md" in {target for _, target in links("README.md")}
    questions = re.findall(r"\[([^\]]+)\]\(([^)]+)\)", text_of("docs/README.md"))
    assert all(text.endswith("?") for text, _ in questions)
    assert len(questions) == len({target for _, target in questions}) >= 27


def test_the_picture_of_a_preview_shows_what_a_preview_shows_and_is_small() -> None:
    picture = ElementTree.parse(ROOT / "docs" / "preview.svg")
    lines = [each.text or "" for each in picture.iter("{http://www.w3.org/2000/svg}text")]
    command, flags, _, titles, *rows = lines
    assert f"{command.removesuffix(chr(92))}{flags.strip()}" in text_of("docs/try-it.md")
    console = Console(width=80, file=io.StringIO())
    with console.capture() as shown:
        console.print(live_table([Row("Prices", "following", 1, 0)], [], 24, 80))
    assert titles.split() == shown.get().splitlines()[0].split()
    names = [row.split()[0] for row in rows if "following  " in row or "backfilling  " in row]
    assert set(names) <= NAMES
    assert len(names) > 10
    assert all(len(line) <= 80 for line in lines)
    assert (ROOT / "docs" / "preview.svg").stat().st_size < 10_000
