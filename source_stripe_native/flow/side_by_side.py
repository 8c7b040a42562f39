"""Coroutines that run side by side, each owned by whoever waits for all of them."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

Result = TypeVar("Result")


async def side_by_side(coroutines: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Their results in their order. The first failure ends the others before it is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
