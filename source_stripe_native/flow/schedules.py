"""Schedules: when a binding is backfilled again, by its cron expression in UTC.

The connector keeps the schedules itself and shows the CDK none. A firing is served once, after its time:

    last initialized       firing            nothing but paused units is left      restart
         |---- backfill ----|---- backfill ----|---- stops with a request ----> |---- backfill ----|

An expression means what it means to pycron, which the CDK uses. Times are those of the machine, as the CDK's
`last_initialized` is.
"""

import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from logging import Logger
from typing import Final, Self

import pycron
from estuary_cdk.capture.common import ResourceState
from estuary_cdk.capture.task import Task

from source_stripe_native.config import ResourceConfig
from source_stripe_native.errors import ConnectorError
from source_stripe_native.flow.waits import stops_within

MINUTE: Final = timedelta(minutes=1)
LONGEST_GAP: Final = 41 * 366
"""Days in which each expression fires that fires at all: a leap day, even on a given day of the week."""
_A_DAY: Final = datetime(2024, 1, 1, tzinfo=UTC)


@functools.cache
def _times_of_day(minute: str, hour: str) -> list[timedelta]:
    # Each field by itself: to ask for each minute of a day would take a while.
    hours = [at for at in range(24) if pycron.is_now(f"* {hour} * * *", _A_DAY.replace(hour=at))]
    minutes = [at for at in range(60) if pycron.is_now(f"{minute} * * * *", _A_DAY.replace(minute=at))]
    return [timedelta(hours=h, minutes=m) for h in hours for m in minutes]


def next_firing(expression: str, time: datetime) -> datetime | None:
    """The first firing in a minute after that of `time`, None where there is none. Raises ValueError for an
    expression that pycron cannot evaluate."""
    minute, hour, *days = expression.split()
    earliest = time.astimezone(UTC).replace(second=0, microsecond=0) + MINUTE
    midnight = earliest.replace(hour=0, minute=0)
    try:
        times = _times_of_day(minute, hour)
        for day in (midnight + timedelta(days=number) for number in range(LONGEST_GAP if times else 1)):
            firing = next((day + at for at in times if day + at >= earliest), None)
            if pycron.is_now(f"* * {' '.join(days)}", day) and firing is not None:
                return firing
    except ZeroDivisionError:
        raise ValueError("a step is zero") from None
    return None


def refuse_schedules(schedules: Mapping[str, str]) -> None:
    """Raises ConnectorError, one line, for schedules, by stream, that cannot be evaluated or never fire."""
    if problems := [f"{name}'s {problem}" for name, at in schedules.items() if (problem := problem_of(at))]:
        raise ConnectorError(f"{'; '.join(problems)}: correct the schedule, or leave it blank.")


def problem_of(expression: str) -> str | None:
    """What is wrong with a schedule, None where it is blank or fires."""
    try:
        fires = not expression or next_firing(expression, _A_DAY)
    except ValueError:
        return f"schedule {expression!r} cannot be evaluated"
    return None if fires else f"schedule {expression!r} never fires"


@dataclass
class Schedules:
    """The schedules of an open capture, by stream. Each binding asks `is_due` when it opens, and runs `keep`,
    which looks once per `interval` whether a firing can be served. Once all tasks have ended, the connector
    calls `write_requests`."""

    interval: timedelta = timedelta()
    crons: dict[str, str] = field(default_factory=dict)
    now: Callable[[], datetime] = lambda: datetime.now(tz=UTC)
    _requests: list[Callable[[Task], Awaitable[None]]] = field(default_factory=list)

    @classmethod
    def take(cls, configs: Iterable[ResourceConfig], interval: timedelta, log: Logger) -> Self:
        """Takes the schedules out of the bindings' configs, so that the CDK sees none."""
        taken = cls(interval)
        for config in configs:
            if problem := problem_of(config.schedule):
                log.warning(f"{config.name}'s {problem}: the binding is not backfilled again by itself")
            elif config.schedule:
                taken.crons[config.name] = config.schedule
            config.schedule = ""
        return taken

    def is_due(self, stream: str, state: ResourceState) -> bool:
        """Whether the schedule has fired since the binding was initialized, and no backfill of it is open."""
        backfills = state.backfill.values() if isinstance(state.backfill, dict) else [state.backfill]
        if any(backfills) or state.last_initialized is None or stream not in self.crons:
            return False
        fires_at = next_firing(self.crons[stream], state.last_initialized)
        return fires_at is not None and fires_at <= self.now()

    async def keep(
        self,
        stream: str,
        initialized: datetime,
        is_open: Callable[[], bool],
        repeat: Callable[[Task], Awaitable[None]],
        task: Task,
    ) -> None:
        """Waits until the schedule has fired since the binding was `initialized`, and until no unit backfills
        but paused ones (`is_open`). Then stops the capture and requests `repeat`, which writes the state in
        which the binding is backfilled again."""
        stopping, is_stopping = task.stopping.event, False
        fires_at = next_firing(self.crons[stream], initialized)
        assert fires_at is not None, "a schedule that never fires is not taken"
        while not is_stopping:
            # In short rests: the loop's clock stands still while a machine sleeps.
            is_stopping = await stops_within(max(min(fires_at - self.now(), MINUTE), self.interval), stopping)
            # Also where the capture stops for another reason: it need not stop again for this one.
            if self.now() >= fires_at and not is_open():
                task.log.info(f"the schedule of {stream} has fired: restarting to backfill it again")
                self._requests.append(repeat)
                stopping.set()
                return

    async def write_requests(self, task: Task) -> None:
        """Writes the backfills that `keep` has requested. Nothing may be captured any more: a checkpoint of
        the backfill before would undo the request."""
        for repeat in self._requests:
            task.reset()
            await repeat(task)
