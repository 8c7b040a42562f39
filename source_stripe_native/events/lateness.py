"""Lateness: a binding that is long behind says so once a minute, with what the minute was spent on.

A binding is late once changes have waited for `Settings.late_after` beyond the time that its interval and the
lag explain.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta

from estuary_cdk.capture.task import Task

from source_stripe_native.events.change_loop import stops_within
from source_stripe_native.settings import Settings
from source_stripe_native.stripe.workload import Workload


@dataclass
class Lateness:
    """Watches how late the binding of one stream is. `workload` is what following its changes takes."""

    stream: str
    settings: Settings
    workload: Workload = field(default_factory=Workload)
    _before: Workload = field(default_factory=Workload)
    """The workload at the last look."""

    def line(self, waiting: timedelta) -> str | None:
        """The status line of a binding whose oldest change has been `waiting` for so long; None where it is
        not late."""
        done, self._before = self.workload.since(self._before), deepcopy(self.workload)
        if waiting <= self.settings.late_after:
            return None
        late = f"{self.stream} is {waiting.total_seconds() / 60:.0f} minutes behind: "
        if not done.requests:
            return f"{late}no request was answered since the last look"
        reasons = " and ".join(f"{times} {reason}" for reason, times in done.rereads.most_common())
        again = f", and something was read again for {reasons}" if reasons else ""
        return f"{late}{done.requests} requests were answered since the last look{again}"

    async def watch(self, waiting: Callable[[], timedelta], task: Task) -> None:
        """Writes the status line while the binding is late, until the capture stops."""
        while not await stops_within(self.settings.lag_status_interval, task.stopping.event):
            if line := self.line(waiting()):
                task.connector_status.log.event.status(line)
