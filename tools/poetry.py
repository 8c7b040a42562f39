"""Run the project's own Poetry: `python3 tools/poetry.py sync`, `... lock`, any Poetry command.

A fresh machine has no Poetry, and where packages come from a mirror Poetry's usual client fails: it needs
PyPI's JSON API, which mirrors lack. So pip installs the Poetry of poetry.txt, with a plugin that reads the
plain index of any mirror, and what pip is configured with is handed on: index, certificates, proxy, time-out.

Rules: nothing is written outside `.poetry/` and `.venv/`, so HOME may be empty or read-only; an active venv
or the machine's own Poetry settings do not change the outcome; only a failure prints anything, and then all.
Limits: pip's extra-index-url, find-links, trusted-host and client-cert have no counterpart here, so all of
poetry.lock must be on pip's main index.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "tools" / "poetry.txt"
PROJECT_VENV = ROOT / ".venv"
POETRY_DIR = ROOT / ".poetry"
POETRY_VENV = POETRY_DIR / "venv"
MAKE_VENV = (sys.executable, "-I", "-m", "venv", "--clear")

# Only pip's option parser merges its command's defaults, files and variables; `pip config` shows no defaults.
PRINT_PIP_OPTIONS = """
import json
from pip._internal.commands import create_command
options = create_command("install").parser.get_default_values()
print(json.dumps({name: getattr(options, name) for name in ("index_url", "cert", "proxy", "timeout")}))
"""


def main(arguments: list[str]) -> None:
    install_poetry()
    if not is_usable(PROJECT_VENV):
        run(*MAKE_VENV, "--without-pip", PROJECT_VENV)
    run(POETRY_VENV / "bin/python", "-I", "-m", "poetry", *arguments, environment=poetry_environment())


def install_poetry() -> None:
    """Make the venv that holds Poetry, unless it is there with the pinned one."""
    installed = POETRY_VENV / PINS.name
    if is_usable(POETRY_VENV) and installed.exists() and installed.read_bytes() == PINS.read_bytes():
        return
    pip = (POETRY_VENV / "bin/python", "-I", "-m", "pip", "--disable-pip-version-check")
    run(*MAKE_VENV, POETRY_VENV)
    run(*pip, "install", "--no-cache-dir", "--no-compile", "--requirement", PINS)
    installed.write_bytes(PINS.read_bytes())


def is_usable(path: Path) -> bool:
    """Whether a venv of the running Python's release is at `path`, and that Python is still there."""
    release = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return (path / "bin/python").exists() and (path / "lib" / release).exists()


def poetry_environment() -> dict[str, str]:
    """The machine's environment, less its Poetry settings, plus what pip is configured with."""
    pip = json.loads(run(POETRY_VENV / "bin/python", "-I", "-c", PRINT_PIP_OPTIONS))
    settings = {
        "VIRTUAL_ENV": PROJECT_VENV,
        "POETRY_CACHE_DIR": POETRY_DIR / "cache",
        "POETRY_CONFIG_DIR": POETRY_DIR / "config",
        "POETRY_DATA_DIR": POETRY_DIR / "data",
        "POETRY_KEYRING_ENABLED": "false",
        "POETRY_NO_INTERACTION": "1",
        "POETRY_PYPI_MIRROR_URL": pip["index_url"],
        "POETRY_REQUESTS_TIMEOUT": int(pip["timeout"]),
        "REQUESTS_CA_BUNDLE": pip["cert"],
        "HTTP_PROXY": pip["proxy"],
        "HTTPS_PROXY": pip["proxy"],
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("POETRY_")}
    return inherited | {name: str(value) for name, value in settings.items() if value}


def run(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    """Run a command in the repo and return its standard output; if it fails, show all it printed and exit."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}{done.stderr}\nset-up failed (exit {done.returncode}): {shlex.join(words)}")
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1:])
