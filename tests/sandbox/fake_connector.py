"""A capture connector that does what it is told, for tests of the runtime; and the catalogs that tell it.

It is told by a JSON object in the environment's FAKE, every member of which may be left out:

    runs       the steps of each run; a state of {"run": n} picks one, and the last stands for all that follow
    acks       whether the runtime is to acknowledge checkpoints
    opens      the kind of its answer to open, if not "opened"
    answers    what to answer to spec, discover, validate or apply, by verb, where the usual answer won't do
    before     steps to take before such an answer, by verb
    requests   a file that gets a line for every request, as it came
    pids       a file that gets a line for every process, its id

A step is an object of one member, whose name is one of STEPS.
"""

from __future__ import annotations

import json
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # a test starts this four times and more: what only types and few steps need is left out
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

SPEC = {
    "protocol": 3032023,
    "configSchema": {"type": "object"},
    "resourceConfigSchema": {"type": "object"},
    "documentationUrl": "https://example.com/docs",
    "resourcePathPointers": ["/name"],
}
PATIENCE = 10.0  # seconds
KINDS = {"spec": "spec", "discover": "discovered", "validate": "validated", "apply": "applied"}


def emit(kind: str, body: Any) -> None:
    print(json.dumps({kind: body}), flush=True)


def log(level: str, message: str) -> None:
    print(
        json.dumps({"level": level, "msg": message, "fields": {"file": "x.py:1"}}),
        file=sys.stderr,
        flush=True,
    )


def append(path: str, line: str) -> None:
    with open(path, "a") as file:  # noqa: PTH123 - pathlib takes its time
        file.write(f"{line}\n")


def count(value: Any, request: dict[str, Any]) -> None:
    to, every = value
    for n in range(request["open"]["state"].get("n", 0), to):
        emit("captured", {"binding": 0, "doc": {"id": str(n)}})
        if (n + 1) % every == 0 or n + 1 == to:
            emit("checkpoint", {"state": {"updated": {"n": n + 1}, "mergePatch": True}})


def fail(value: Any, _: dict[str, Any]) -> None:
    log("ERROR", value)
    sys.exit(1)


def bear(value: Any, _: dict[str, Any]) -> None:
    append(
        value, str(os.spawnl(os.P_NOWAIT, sys.executable, "python", "-ISc", "import time; time.sleep(60)"))
    )


def doc(value: Any, binding: int = 0) -> None:
    emit("captured", {"binding": binding, "doc": value})


STEPS: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "doc": lambda value, _: doc(value),
    "doc_of": lambda value, _: doc(value[1], value[0]),  # of a binding other than the first
    "long_doc": lambda value, _: doc({"id": "a", "text": "x" * value}),  # of so many characters
    "checkpoint": lambda value, _: emit("checkpoint", {"state": {"updated": value, "mergePatch": True}}),
    "replace": lambda value, _: emit("checkpoint", {"state": {"updated": value, "mergePatch": False}}),
    # [to, every]: documents from the state's `n` up to a number, with a checkpoint after each so many
    "count": count,
    # documents of the id that is given, which tell the state at open, the next request, or a variable's value
    "state": lambda value, request: doc({"id": value, "state": request["open"]["state"]}),
    "next_request": lambda value, _: doc({"id": value, **json.loads(sys.stdin.readline())}),
    "environment": lambda value, _: doc({"id": value, "value": os.environ.get(value)}),
    "line": lambda value, _: print(value, flush=True),
    "part": lambda value, _: print(value, end="", flush=True),  # of a line
    "stderr": lambda value, _: print(value, file=sys.stderr, flush=True),
    "log": lambda value, _: log(*value),
    "error": fail,
    "exit": lambda value, _: sys.exit(value),
    "sleep": lambda value, _: time.sleep(value),
    "child": bear,  # starts a process that would live on, and writes its id to a file
}


def take(step: dict[str, Any], request: dict[str, Any]) -> None:
    """Does one step of a run that `request` began."""
    [(kind, value)] = step.items()
    STEPS[kind](value, request)


def main() -> None:
    request = json.loads(sys.stdin.readline())
    [(verb, body)] = request.items()
    told = json.loads(os.environ["FAKE"])
    if "requests" in told:
        append(told["requests"], json.dumps(request))
    if "pids" in told:
        append(told["pids"], str(os.getpid()))
    if verb == "open":
        run(told, request)
        return
    assert sys.stdin.read() == "", "a unary request is followed by the end of stdin"
    for step in told.get("before", {}).get(verb, []):
        take(step, request)
    answers = {
        "spec": SPEC,
        "discover": {"bindings": []},
        "validate": {
            "bindings": [{"resourcePath": [b["resourceConfig"]["name"]]} for b in body.get("bindings", [])]
        },
        "apply": {"actionDescription": "made ready"},
    }
    emit(KINDS[verb], told.get("answers", {}).get(verb, answers[verb]))


def run(told: dict[str, Any], request: dict[str, Any]) -> None:
    emit(told.get("opens", "opened"), {"explicitAcknowledgements": told.get("acks", False)})
    runs = told.get("runs", [[]])
    number = request["open"]["state"].get("run", 0)
    for step in runs[min(number, len(runs) - 1)]:
        take(step, request)
    time.sleep(60)  # as a capture that has no more to read; the end of stdin does not stop it


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "amount": {"type": "integer"}},
    "required": ["id"],
    "if": {
        "properties": {"_meta": {"properties": {"op": {"const": "d"}}, "required": ["op"]}},
        "required": ["_meta"],
    },
    "then": {"reduce": {"strategy": "merge", "delete": True}},
}


# Imported, as a script would be compiled at each start.
START = f"""
import sys
sys.path.append({os.path.dirname(__file__)!r})
from fake_connector import main
main()
"""  # noqa: PTH120 - pathlib takes its time


def capture(*runs: list[dict[str, Any]], env: dict[str, str] | None = None, **told: Any) -> dict[str, Any]:
    """A capture of the fake connector, with a binding of `acmeCo/Prices`."""
    fake = {"FAKE": json.dumps({"runs": runs or [[]], **told}), **(env or {})}
    command = [sys.executable, "-ISc", START]
    return {
        "endpoint": {"local": {"command": command, "config": {"key": "k"}, "env": fake}},
        "bindings": [{"resource": {"name": "Prices"}, "target": "acmeCo/Prices"}],
        "interval": "0s",
    }


def catalog(*runs: list[dict[str, Any]], **told: Any) -> dict[str, Any]:
    """A catalog with that capture, `acmeCo/fake`, and the collection `acmeCo/Prices`, keyed by `/id`."""
    return {
        "captures": {"acmeCo/fake": capture(*runs, **told)},
        "collections": {"acmeCo/Prices": {"schema": SCHEMA, "key": ["/id"]}},
    }


def written(directory: Path, content: dict[str, Any], name: str = "flow.yaml") -> Path:
    """The path of a file with this content. (JSON is YAML.)"""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def alive(pid: int) -> bool:
    """Whether a process runs. One that ended, and that nobody has waited for yet, does not."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 - pathlib takes its time
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # it ended just now, or this is no Linux
        return not os.path.exists("/proc/self")  # noqa: PTH110 - pathlib takes its time


def gone(pids: list[int]) -> bool:
    """Whether all these processes end in good time."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.01)
    return False
