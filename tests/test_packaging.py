"""The package and the image: complete, as Flow's runtime wants them, and without a file that may have a key.

Nothing is built here. These are the facts on which a build rests.
"""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from source_stripe_native.connector import DOCUMENTATION_URL
from source_stripe_native.notices.notices import DEFAULT_PORT

ROOT: Final = Path(__file__).parents[1]
PYPROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT: Final[dict[str, Any]] = PYPROJECT["project"]
POETRY: Final[dict[str, Any]] = PYPROJECT["tool"]["poetry"]


# The package


def test_the_metadata_are_complete() -> None:
    assert PROJECT["name"] == "source-stripe-native"
    assert PROJECT["description"]
    assert PROJECT["keywords"]
    assert PROJECT["urls"] == {"Documentation": DOCUMENTATION_URL}
    assert PROJECT["license"] == "MIT"
    (author,) = PROJECT["authors"]
    licence = (ROOT / PROJECT["license-files"][0]).read_text()
    assert f"Copyright (c) 2026 {author['name']}\n" in licence
    assert "@" not in str(PROJECT["authors"])


def test_every_python_that_is_supported_is_a_classifier() -> None:
    lowest = re.fullmatch(r">=3\.(\d+),<4", PROJECT["requires-python"])
    assert lowest
    named = [each.rpartition(" :: ")[2] for each in PROJECT["classifiers"] if "Python :: 3." in each]
    assert named == [f"3.{minor}" for minor in range(int(lowest[1]), int(lowest[1]) + len(named))]
    assert "Programming Language :: Python :: 3 :: Only" in PROJECT["classifiers"]


def test_the_wheel_has_the_connector_alone_with_its_types() -> None:
    assert POETRY["packages"] == [{"include": "source_stripe_native"}]
    assert all(each["format"] == "sdist" for each in POETRY["include"])
    assert (ROOT / "source_stripe_native/py.typed").exists()
    assert "Typing :: Typed" in PROJECT["classifiers"]


def test_the_console_script_is_the_modules_function() -> None:
    assert PROJECT["scripts"] == {"source-stripe-native": "source_stripe_native.__main__:command"}


def test_the_source_archive_has_every_page_that_its_readme_links_to() -> None:
    text = (ROOT / PROJECT["readme"]).read_text()
    linked = {each for each in re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", text) if each.endswith(".md")}
    assert linked
    had = {found for each in POETRY["include"] for found in ROOT.glob(each["path"])}
    assert [each for each in linked if ROOT / each not in had] == []


# The image


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order: each with its arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines) if name]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest))
    return found


def labels() -> dict[str, str]:
    final = stages()[-1]
    args = dict(rest.partition("=")[::2] for name, rest in final if name == "ARG")
    text = " ".join(rest for name, rest in final if name == "LABEL")
    pairs = re.findall(r'(\S+?)=(?:"([^"]*)"|(\S+))', text)
    return {
        key: re.sub(r"\${(\w+)}", lambda each: args[each[1]], quoted or bare) for key, quoted, bare in pairs
    }


def test_the_labels_say_how_flow_speaks_to_the_connector_and_what_it_is() -> None:
    found = labels()
    assert float(found.pop("dev.estuary.usage-rate")) == 1.0
    assert found == {
        "FLOW_RUNTIME_PROTOCOL": "capture",
        "FLOW_RUNTIME_CODEC": "json",
        "dev.estuary.port-public.8080": "true",
        "org.opencontainers.image.title": PROJECT["name"],
        "org.opencontainers.image.description": PROJECT["description"],
        "org.opencontainers.image.documentation": DOCUMENTATION_URL,
        "org.opencontainers.image.licenses": PROJECT["license"],
    }


def test_the_image_runs_the_connector_as_a_user_that_is_not_root() -> None:
    final = stages()[-1]
    assert final[-3:] == [
        ("USER", "connector"),
        ("EXPOSE", str(DEFAULT_PORT)),
        # The form without a shell: the connector itself gets the signal to stop.
        ("ENTRYPOINT", '["python", "-m", "source_stripe_native"]'),
    ]
    assert [rest for name, rest in final if name == "RUN"] == ["useradd --system --no-create-home connector"]


def test_the_image_has_a_python_that_the_package_supports() -> None:
    (version,) = {re.match(r"python:(3\.\d+)-slim\b", stage[0][1])[1] for stage in stages()}  # type: ignore[index]  # else the test fails
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]


def test_flow_runs_one_platform_which_is_built_on_any_machine() -> None:
    assert "docker build --platform linux/amd64" in (ROOT / "Makefile").read_text()


def test_a_build_sees_what_it_copies_and_nothing_else() -> None:
    rules = [each for each in (ROOT / ".dockerignore").read_text().splitlines() if each[:1] not in ("", "#")]
    assert rules[0] == "*", "all is left out"
    let_in = [each[1:] for each in rules if each.startswith("!")]
    copied = {
        source.rstrip("/")
        for stage in stages()
        for name, rest in stage
        if name == "COPY" and not rest.startswith("--from=")
        for source in rest.split()[:-1]
    }
    assert {each.partition("/")[0] for each in let_in} == copied
    assert [each for each in let_in if not list(ROOT.glob(each))] == []


# Secrets


def test_a_persons_own_files_are_not_committed() -> None:
    ignored = (ROOT / ".gitignore").read_text().split()
    assert {"my.*", "*.duckdb"} <= {*ignored}


# Set-up


def test_poetry_is_installed_in_pinned_versions_from_wherever_pip_takes_packages() -> None:
    text = (ROOT / "tools" / "poetry.txt").read_text()
    pins = [line for line in text.splitlines() if not line.startswith("#")]
    assert {"poetry", "poetry-core", "poetry-plugin-pypi-mirror"} <= {
        each.partition("==")[0] for each in pins
    }
    loose = [each for each in pins if not re.fullmatch(r"[\w.-]+==[\w.]+( ; [^;]+)?", each)]
    assert [each for each in loose if "darwin" not in each] == []
    for name in ("tools/poetry.txt", "poetry.lock", "pyproject.toml", "Makefile"):
        assert "index-url" not in (ROOT / name).read_text()
        assert "[package.source]" not in (ROOT / name).read_text()
