"""The states of a unit, what leads from one to another, and which unit is next. Pure: times are arguments.

A unit is a stream of an account. The table of its states:

    state      notify     notice     begin               end                      fail
    idle       queued     queued     -                   -                        -
    waiting    queued     queued     -                   -                        -
    queued     queued     queued     running or paused   -                        -
    paused     paused     paused     -                   -                        -
    running    running    running    -                   idle, waiting, queued    paused

An idle unit waits for something to read. It is the state of nearly all units, and has no record. Waiting and
paused units are queued once their time has come: no event is needed. Units end with their capture.

A turn is early where it only captures what a notice announced: its cursor stays, and it stands for no other
turn. The unit that had to wait for another turn waits for it again afterwards.

The queue is ordered by deadline. A unit's grace is how long others may go before it; a notice can take that
away. Whatever becomes ready after a unit's deadline goes after the unit, so that none starves:

    ready              deadline = ready + grace
      |---- others may go before ----|
"""

import heapq
import itertools
import math
from enum import Enum, auto
from typing import Final, NamedTuple


class State(Enum):
    IDLE = auto()
    WAITING = auto()
    QUEUED = auto()
    PAUSED = auto()
    RUNNING = auto()


class Record(NamedTuple):
    """What is known of a unit. Times are in seconds of one monotonic clock."""

    time: float = math.inf
    """Since when the unit is running or queued, or until when it waits or is paused."""
    is_running: bool = False
    is_paused: bool = False
    is_early: bool = False
    """Whether the next turn is early."""
    is_noticed: bool = False
    """Whether the next turn begins with what a notice announced."""
    notified: int = 0
    """Of a running unit, up to which second there is something to read; in Unix time."""
    later_time: float = math.inf
    """When the turn is due that comes after an early one."""

    def state(self, now: float) -> State:
        if self.is_running:
            return State.RUNNING
        if self.time <= now:
            return State.QUEUED
        if self.is_paused:
            return State.PAUSED
        return State.WAITING if self.time < math.inf else State.IDLE

    def has_turn(self, now: float) -> bool:
        """Whether the next turn reads all that there is, and nothing can bring it forward."""
        return not self.is_early and self.state(now) in (State.QUEUED, State.PAUSED)

    def notify(self, time: float, until: int = 0) -> "Record":
        """From `time` on there is something to read, up to the second `until`."""
        if self.is_running:
            return self._replace(notified=max(until, self.notified))
        return self._replace(time=self.time if self.is_paused else min(self.time, time), is_early=False)

    def notice(self, now: float) -> "Record":
        """There is something to capture early. A turn that is running sees to it itself."""
        if self.is_running:
            return self
        if self.state(now) in (State.QUEUED, State.PAUSED):
            return self._replace(is_noticed=True)
        return Record(now, is_early=True, is_noticed=True, later_time=self.time)

    def begin(self, now: float, paused_until: float = -math.inf) -> "Record":
        """The turn of a unit that is queued. One that is paused waits for the end of its pause."""
        assert self.state(now) is State.QUEUED, "only units that are queued have a turn"
        if paused_until > now:
            return self._replace(time=paused_until, is_paused=True)
        return Record(now, is_running=True, later_time=self.later_time if self.is_early else math.inf)

    def end(self, now: float, next_time: float = math.inf, read_until: int = 0) -> "Record":
        """The turn has ended, with everything read up to the second `read_until`. The next one is due at
        `next_time`, and at once where there is more to read."""
        assert self.is_running, "only a turn that is running ends"
        return Record(now if self.notified > read_until else min(next_time, self.later_time))

    def fail(self, paused_until: float) -> "Record":
        """The turn has failed. The next one reads all that there is."""
        assert self.is_running, "only a turn that is running fails"
        return Record(paused_until, is_paused=True)


IDLE: Final = Record()
SPARE: Final = 100
"""Entries of the queue that do not count are removed beyond that number and one for each unit."""


class Units:
    """The units of one stream by account, and the queue of those that are to have a turn."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        """Those of all units but the idle ones."""
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, str, float]] = []
        self._ready: list[tuple[float, int, float, str]] = []
        """Entries of units whose record has another time by now do not count."""

    def __getitem__(self, account_id: str) -> Record:
        return self._records.get(account_id, IDLE)

    def set(self, account_id: str, record: Record, grace: float = 0.0) -> None:
        """Puts the result of a transition in the record's place. The `grace` counts for a unit that is queued
        anew, or of which something was announced since: then it has two entries, and the first one counts."""
        before = self[account_id]
        if record == IDLE:
            self._records.pop(account_id, None)
        else:
            self._records[account_id] = record
        is_queued = self._counts(before, record.time) and record.is_noticed == before.is_noticed
        if record.is_running or record == IDLE or is_queued:
            return
        heapq.heappush(self._waiting, (record.time, next(self._order), account_id, grace))
        if len(self._waiting) > 2 * len(self._records) + SPARE:
            by_grace = sorted(self._waiting, key=lambda entry: entry[3], reverse=True)
            counting = {entry[2]: entry for entry in by_grace if self._counts(self[entry[2]], entry[0])}
            self._waiting = sorted(counting.values())

    @staticmethod
    def _counts(record: Record, ready_time: float) -> bool:
        """Whether an entry of the unit counts, which gives it a turn from `ready_time` on."""
        return not record.is_running and record.time == ready_time

    def first(self, now: float) -> str | None:
        """The unit whose turn it is, None while none is queued."""
        while self._waiting and self._waiting[0][0] <= now:
            ready_time, order, account_id, grace = heapq.heappop(self._waiting)
            heapq.heappush(self._ready, (ready_time + grace, order, ready_time, account_id))
        while self._ready and not self._counts(self[self._ready[0][3]], self._ready[0][2]):
            heapq.heappop(self._ready)
        return self._ready[0][3] if self._ready else None

    def longest_wait(self, now: float) -> float:
        """The longest time, in seconds, for which a unit has been queued; zero where none is."""
        self.first(now)
        times = (time for _, _, time, account_id in self._ready if self._counts(self[account_id], time))
        return max((now - time for time in times), default=0.0)

    def next_ready_time(self) -> float:
        """When the next unit is queued, infinity where none waits for it. It may have had its turn since."""
        return self._waiting[0][0] if self._waiting else math.inf
