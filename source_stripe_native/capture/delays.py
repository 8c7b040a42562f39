"""Delay: how long a binding is behind, with what the time since the last look was spent on.

A binding is late once changes have waited for `Settings.late_after` beyond the time that its interval and the
lag explain. The capture's summary tells of it.
"""

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from source_stripe_native.settings import Settings
from source_stripe_native.stripe.pages import Workload


@dataclass(frozen=True)
class Late:
    """A late binding: how long its oldest change has been `waiting`, and what was `done` since the last
    look."""

    stream: str
    waiting: timedelta
    done: Workload

    def words(self) -> str:
        late = f"{self.stream} is {self.waiting.total_seconds() / 60:.0f} minutes behind"
        if not self.done.requests:
            return f"{late} (no request was answered)"
        return f"{late} ({', '.join([_requests(self.done.requests), *_rereads(self.done.rereads)])})"

    def fields(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "behind_seconds": round(self.waiting.total_seconds()),
            "requests": self.done.requests,
            "read_again": dict(self.done.rereads),
        }


def _requests(number: int) -> str:
    return "1 request was answered" if number == 1 else f"{number:,} requests were answered"


def _rereads(rereads: Counter[str]) -> list[str]:
    told = [f"{times:,} {reason}" for reason, times in rereads.most_common()]
    return [f"something was read again for {' and '.join(told)}"] if told else []


@dataclass
class Delay:
    """Knows how late the binding of one stream is. `workload` is what following its changes takes, and
    `waiting` tells how long its oldest change has waited beyond interval and lag."""

    stream: str
    settings: Settings
    workload: Workload = field(default_factory=Workload)
    waiting: Callable[[], timedelta] = timedelta
    _before: Workload = field(default_factory=Workload)
    """The workload at the last look."""

    def watch(self, waiting: Callable[[], timedelta]) -> None:
        """Sets the function that tells how long the oldest change has waited."""
        self.waiting = waiting

    def look(self) -> Late | None:
        """How late the binding is; None where it is not."""
        done, self._before = self.workload.since(self._before), deepcopy(self.workload)
        waiting = self.waiting()
        return Late(self.stream, waiting, done) if waiting > self.settings.late_after else None
