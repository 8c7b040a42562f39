"""Run the project's own Poetry: `python3 tools/poetry.py sync`, `... lock`, any Poetry command.

A fresh machine has no Poetry, and where packages come from a mirror Poetry's usual client fails: it needs
PyPI's JSON API, which mirrors lack. So pip installs the Poetry of poetry.txt, with a plugin that reads the
plain index of any mirror, and what pip is configured with is handed on: index, certificates, proxy, time-out.
poetry.txt pins all that is installed, and only wheels are: nothing is resolved, and nothing built.

Rules: nothing is written outside `.poetry/` and `.venv/`, so HOME may be empty or read-only; an active venv
or the machine's own Poetry settings do not change the outcome. A step that takes a while is one line on
stderr, with the package at hand where that is a terminal. A failure prints all that the step has printed.
Limits: pip's extra-index-url, find-links, trusted-host and client-cert have no counterpart here, so all of
poetry.lock must be on pip's main index.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "tools" / "poetry.txt"
PROJECT_VENV = ROOT / ".venv"
POETRY_DIR = ROOT / ".poetry"
POETRY_VENV = POETRY_DIR / "venv"
CLEAR = "\r\x1b[K" if sys.stderr.isatty() else ""
"""What a terminal clears a line with."""
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
    poetry = (POETRY_VENV / "bin/python", "-I", "-m", "poetry")
    show(f"  poetry {' '.join(arguments[:1])}", *poetry, *arguments, environment=poetry_environment())


def install_poetry() -> None:
    """Make the venv that holds Poetry, unless it is there with the pinned one."""
    installed = POETRY_VENV / PINS.name
    if is_usable(POETRY_VENV) and installed.exists() and installed.read_bytes() == PINS.read_bytes():
        return
    pip = (POETRY_VENV / "bin/python", "-I", "-m", "pip", "--disable-pip-version-check")
    pins = ("--no-deps", "--only-binary", ":all:", "--requirement", PINS)
    run(*MAKE_VENV, POETRY_VENV)
    show("  Poetry", *pip, "install", "--no-cache-dir", "--no-compile", *pins)
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
        "POETRY_INSTALLER_MAX_WORKERS": 16,  # they wait for the network
        "POETRY_INSTALLER_ONLY_BINARY": ":all:",
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
        sys.exit(f"{done.stdout}{done.stderr}\n{failure(words, done.returncode)}")
    return done.stdout


def show(name: str, *command: str | Path, environment: dict[str, str] | None = None) -> None:
    """Run a command that takes a while: say on stderr what it does, and at the end how long it took."""
    words, start, output = [str(word) for word in command], time.monotonic(), []
    print(f"{name} ...", end="", file=sys.stderr, flush=True)
    with subprocess.Popen(
        words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            output.append(line)
            package = line.strip(" -\n")
            if CLEAR and package.startswith(("Collecting", "Installing")):
                print(f"{CLEAR}{name}: {package}"[:79], end="", file=sys.stderr, flush=True)
    if process.returncode != 0:
        sys.exit(f"\n{''.join(output)}\n{failure(words, process.returncode)}")
    print(f"{CLEAR and CLEAR + name} {time.monotonic() - start:.0f} s", file=sys.stderr)


def failure(words: list[str], code: int) -> str:
    return f"set-up failed (exit {code}): {shlex.join(words)}"


if __name__ == "__main__":
    main(sys.argv[1:])
