"""Waiting for one of several events, for a while."""

import asyncio
from datetime import timedelta


async def wait_any(*events: asyncio.Event, at_most: float | None = None) -> None:
    """Returns when any of `events` is set, at the latest after `at_most` seconds."""
    waiters = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiters, timeout=at_most, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()


async def stops_within(rest: timedelta, stopping: asyncio.Event) -> bool:
    """Whether the capture stops within `rest`. Returns as soon as it does."""
    if rest > timedelta() and not stopping.is_set():
        await wait_any(stopping, at_most=rest.total_seconds())
    return stopping.is_set()
