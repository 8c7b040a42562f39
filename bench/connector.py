"""The connector as a process of its own, with its rate limits lifted: what is measured is the connector,
not how long it waits for Stripe's limits. It can measure for how long its loop is held."""

import os
import time
from asyncio import BaseEventLoop
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from source_stripe_native.__main__ import main
from source_stripe_native.settings import DEFAULTS, Settings

OPEN: Final = 1_000_000
"""Requests a second that stand for no limit."""
HELD: Final = "BENCH_HELD"
"""The environment variable with a path: the longest turn of the loop is written there, in CPU seconds."""
RESTED: Final = "BENCH_RESTED"
"""The environment variable with the seconds for which accounts rest while posts are relied on."""


def _watch(path: Path) -> None:
    """Measures each turn of the loop, in which nothing else can be done. CPU seconds of its thread count:
    on a busy machine a heartbeat would measure the others."""
    run_once, longest = BaseEventLoop._run_once, 0.0  # type: ignore[attr-defined]  # a private method

    def measured(loop: Any) -> None:
        nonlocal longest
        start_time = time.thread_time()
        run_once(loop)
        held = time.thread_time() - start_time
        if held > longest:
            longest = held
            # As a whole: the bench reads it at any time.
            written = path.with_suffix(".new")
            written.write_text(str(held))
            written.replace(path)

    BaseEventLoop._run_once = measured  # type: ignore[attr-defined]  # a private method


if __name__ == "__main__":
    if HELD in os.environ:
        _watch(Path(os.environ[HELD]))
    rest = timedelta(seconds=int(os.environ[RESTED])) if RESTED in os.environ else DEFAULTS.trusted_interval
    main(Settings(requests_live=OPEN, requests_test=OPEN, requests_per_endpoint=OPEN, trusted_interval=rest))
