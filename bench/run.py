"""Runs a capture against a sandbox in this process and counts what it writes."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import json_merge_patch
import orjson

from sandbox.stripe import StripeServer

Json = dict[str, Any]
ROOT = Path(__file__).parent.parent
OPEN = 1_000_000
"""Requests a second that stand for no limit."""


@dataclass
class Written:
    """What a capture wrote: documents by stream, checkpoints, state; and what it took: peak resident memory
    in bytes, CPU seconds, and seconds from its start."""

    documents: dict[str, int] = field(default_factory=dict)
    checkpoints: int = 0
    state: Json = field(default_factory=dict)
    peak: int = 0
    cpu: float = 0.0
    seconds: float = 0.0
    first: float = 0.0

    def of(self, stream: str) -> Json:
        return dict(self.state["bindingStateV1"].get(stream, {}))


def config(server: StripeServer, *, connected: bool) -> Json:
    return {
        "credentials": {"access_token": server.world.key},
        "start_date": "2012-01-01T00:00:00Z",
        "capture_connected_accounts": connected,
    }


async def capture(
    server: StripeServer,
    streams: list[str],
    until: Callable[[Written], bool],
    *,
    connected: bool = False,
    state: Json | None = None,
    interval: str = "PT5M",
    rate: tuple[int, int] = (OPEN, OPEN),
    at_most: float = 300.0,
) -> Written:
    """Runs the connector until `until` holds after a checkpoint, and kills it. Raises RuntimeError with its
    last words where it ends by itself."""
    bindings = [
        {
            "resourceConfig": {"name": each, "interval": interval},
            "resourcePath": [each],
            "stateKey": each,
            "collection": {"name": f"acmeCo/{each}", "key": ["/id"], "writeSchema": {}},
        }
        for each in streams
    ]
    request = {
        "open": {
            "capture": {
                "name": "acmeCo/bench",
                "connectorType": "LOCAL",
                "config": config(server, connected=connected),
                "intervalSeconds": 300,
                "bindings": bindings,
            },
            "version": "bench",
            "range": {},
            "state": state or {},
        }
    }
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.connector", *map(str, rate)),
        cwd=ROOT,
        env={**os.environ, "STRIPE_API_BASE": server.url, "LOG_LEVEL": "WARN"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 27,
    )
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write(orjson.dumps(request) + b"\n")
    written = Written(state=state or {})
    try:
        async with asyncio.timeout(at_most):
            while line := await process.stdout.readline():
                if line.startswith(b'{"captured"'):
                    written.first = written.first or time.monotonic() - started
                    stream = streams[int(line[23 : line.index(b",", 23)])]
                    written.documents[stream] = written.documents.get(stream, 0) + 1
                elif line.startswith(b'{"checkpoint"'):
                    written.checkpoints += 1
                    patch = orjson.loads(line)["checkpoint"]["state"]["updated"]
                    written.state = json_merge_patch.merge(written.state, patch)
                    if until(written):
                        break
            else:
                raise RuntimeError((await process.stderr.read()).decode()[-2000:])
        written.seconds = time.monotonic() - started
        written.peak, written.cpu = _usage(process.pid)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return written


def _usage(pid: int) -> tuple[int, float]:
    """Peak resident memory in bytes and CPU seconds of a process, as Linux counts them."""
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    return int(peak.split()[1]) * 1024, ticks / os.sysconf("SC_CLK_TCK")
