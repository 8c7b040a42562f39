import asyncio
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def _loop_of_sync_tests() -> Iterator[None]:
    """On Python 3.11, looptime asks asyncio for a loop before every test. Where there is none, asyncio makes
    one that nobody closes; so there is one."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()
