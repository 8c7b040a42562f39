"""The states of a unit: what leads from one to another as a table, and laws over any series of events."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from source_stripe_native.scheduling.units import IDLE, SPARE, Record, State, Units

NOW: Final = 100.0
LATER: Final = 130.0
WAITING, QUEUED, PAUSED, RUNNING = State.WAITING, State.QUEUED, State.PAUSED, State.RUNNING

RECORDS: Final = {
    "idle": IDLE,
    "waiting": IDLE.notify(LATER),
    "queued": IDLE.notify(NOW),
    "queued early": IDLE.notice(NOW),
    "queued early while it waited": IDLE.notify(LATER).notice(NOW),
    "paused": IDLE.notify(NOW).begin(NOW, paused_until=LATER),
    "paused early": IDLE.notice(NOW).begin(NOW, paused_until=LATER),
    "running": IDLE.notify(NOW).begin(NOW),
    "running early while it waited": IDLE.notify(LATER).notice(NOW).begin(NOW),
    "running, and notified": IDLE.notify(NOW).begin(NOW).notify(NOW, until=7),
}
EVENTS: Final[dict[str, Callable[[Record], Record]]] = {
    "notify": lambda record: record.notify(NOW, until=9),
    "notify later": lambda record: record.notify(LATER + 1),
    "notice": lambda record: record.notice(NOW),
    "begin": lambda record: record.begin(NOW),
    "begin while it is paused": lambda record: record.begin(NOW, paused_until=LATER),
    "end": lambda record: record.end(NOW, read_until=6),
    "end for a while": lambda record: record.end(NOW, LATER + 1, read_until=8),
    "fail": lambda record: record.fail(LATER),
}
LEADS_TO: Final = """
idle                            queued   waiting  queued   -        -       -        -        -
waiting                         queued   waiting  queued   -        -       -        -        -
queued                          queued   queued   queued   running  paused  -        -        -
queued early                    queued   queued   queued   running  paused  -        -        -
queued early while it waited    queued   queued   queued   running  paused  -        -        -
paused                          paused   paused   paused   -        -       -        -        -
paused early                    paused   paused   paused   -        -       -        -        -
running                         running  running  running  -        -       idle     waiting  paused
running early while it waited   running  running  running  -        -       waiting  waiting  paused
running, and notified           running  running  running  -        -       queued   waiting  paused
"""
"""The state that each of the events leads to, in their order; - where it cannot happen."""
ROWS: Final = {line[:32].strip(): line[32:].split() for line in LEADS_TO.strip().splitlines()}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("name", RECORDS)
def test_each_event_leads_from_each_state_to_one_other(name: str, event: str) -> None:
    expected = dict(zip(EVENTS, ROWS[name], strict=True))[event]
    if expected == "-":
        with pytest.raises(AssertionError):
            EVENTS[event](RECORDS[name])
    else:
        assert EVENTS[event](RECORDS[name]).state(NOW) is State[expected.upper()]


@pytest.mark.parametrize("name", RECORDS)
def test_time_leads_from_waiting_and_paused_to_queued_and_from_no_other_state(name: str) -> None:
    record = RECORDS[name]
    before = record.state(NOW)
    assert record.state(LATER) is (QUEUED if before in (WAITING, PAUSED) else before)
    assert record.state(math.nextafter(LATER, 0)) is before


def test_early_turn_reads_all_once_there_is_something_to_read() -> None:
    for name in ("queued early", "queued early while it waited", "paused early"):
        assert RECORDS[name].is_early
        assert not RECORDS[name].has_turn(NOW)
        notified = RECORDS[name].notify(NOW, until=9)
        assert not notified.is_early
        assert notified.is_noticed, "and begins with what was announced"
        assert notified.has_turn(NOW)


def test_unit_that_was_queued_early_waits_no_longer_than_before() -> None:
    running = RECORDS["running early while it waited"]
    assert running.end(NOW) == IDLE.notify(LATER)
    assert running.end(NOW, LATER - 1) == IDLE.notify(LATER - 1)
    # The turn that reads all has seen to what it waited for.
    assert IDLE.notify(LATER).notice(NOW).notify(NOW).begin(NOW).end(NOW) == IDLE


def test_unit_is_read_again_unless_its_turn_has_read_what_it_was_notified_of() -> None:
    running = RECORDS["running, and notified"]
    assert running.end(NOW, read_until=6) == IDLE.notify(NOW)
    assert running.end(NOW, read_until=7) == IDLE


# Any series of events


@dataclass
class Model:
    """Units through any events, with what is still to be done of each in plain words."""

    units: Units = field(default_factory=Units)
    now: float = 0.0
    pauses: dict[str, float] = field(default_factory=dict)
    to_read: dict[str, float] = field(default_factory=dict)
    """Since when each unit has something to read."""
    to_capture: set[str] = field(default_factory=set)
    """Units with something to capture early."""
    postponed: dict[str, float] = field(default_factory=dict)
    """When something postponed of each unit is due."""
    running: dict[str, tuple[Record, int]] = field(default_factory=dict)
    """The record before its turn of each unit that is running, and the last window then."""
    window: int = 0

    def set(self, account_id: str, record: Record) -> None:
        self.units.set(account_id, record)

    def notify(self, account_id: str, _: int) -> None:
        self.window += 1
        self.set(account_id, self.units[account_id].notify(self.now, self.window))
        self.to_read.setdefault(account_id, self.window)

    def notice(self, account_id: str, _: int) -> None:
        self.to_capture.add(account_id)
        self.set(account_id, self.units[account_id].notice(self.now))

    def pass_time(self, account_id: str, seconds: int) -> None:
        self.now += seconds

    def pause(self, account_id: str, seconds: int) -> None:
        """Another unit of the account has failed."""
        self.pauses[account_id] = self.now + seconds

    def begin(self, account_id: str, _: int) -> None:
        first = self.units.first(self.now)
        if first is None:
            return
        assert first not in self.running
        before = self.units[first]
        until_time = self.pauses.get(first, 0.0)
        self.set(first, before.begin(self.now, until_time))
        if until_time > self.now:
            assert self.units.first(self.now) != first, "a paused unit is not started before its time"
            return
        self.running[first] = before, self.window
        if before.is_noticed:
            self.to_capture.discard(first)

    def end(self, account_id: str, seconds: int) -> None:
        """A turn reads all that there was when it began, and some of what came since. An early one reads
        nothing."""
        if account_id not in self.running:
            return
        (before, window), record = self.running.pop(account_id), self.units[account_id]
        if before.is_early:
            self.set(account_id, record.end(self.now))
        else:
            read_until = max(window, self.window - seconds % 2)
            if self.postponed.get(account_id, math.inf) <= self.now:
                del self.postponed[account_id]
            if seconds % 3 == 0:
                self.postponed[account_id] = self.now + seconds
            due = self.postponed.get(account_id, math.inf)
            if self.to_read.get(account_id, math.inf) <= read_until:
                del self.to_read[account_id]
            self.set(account_id, record.end(self.now, due, read_until))
        # What was announced in its last moment is left to another turn.
        if account_id in self.to_capture:
            self.set(account_id, self.units[account_id].notice(self.now))

    def fail(self, account_id: str, seconds: int) -> None:
        if account_id in self.running:
            del self.running[account_id]
            self.pauses[account_id] = self.now + seconds
            self.to_capture.discard(account_id)
            self.set(account_id, self.units[account_id].fail(self.pauses[account_id]))

    def check(self, account_id: str) -> None:
        record = self.units[account_id]
        state = record.state(self.now)
        assert (state is RUNNING) == (account_id in self.running), "a unit is in one state"
        if state is RUNNING:
            return
        if account_id in self.to_read:
            assert state in (QUEUED, PAUSED), "what was notified gets a turn"
            assert not record.is_early, "which no early turn swallows"
        if account_id in self.to_capture:
            assert state in (QUEUED, PAUSED)
            assert record.is_noticed, "and begins with what was announced"
        if account_id in self.postponed:
            due = max(self.postponed[account_id], self.now, self.pauses.get(account_id, 0))
            next_time = min(record.time, record.later_time) if record.is_early else record.time
            assert next_time <= due, "what was postponed is not forgotten"


STEPS: Final = [Model.notify, Model.notice, Model.pass_time, Model.pause, Model.begin, Model.end, Model.fail]


@given(
    st.lists(
        st.tuples(st.sampled_from(STEPS), st.sampled_from("abc"), st.integers(0, 20)), min_size=1, max_size=80
    )
)
def test_nothing_is_forgotten_whatever_happens(
    steps: list[tuple[Callable[[Model, str, int], None], str, int]],
) -> None:
    model = Model()
    for step, account_id, seconds in steps:
        step(model, account_id, seconds)
        for each in "abc":
            model.check(each)
    # All of it is done once turns are to be had, after which the units are idle.
    for _ in range(60):
        model.pass_time("", 20)
        while model.units.first(model.now) is not None:
            model.begin("", 0)
        for each in list(model.running):
            model.end(each, 2)
    assert not model.to_read
    assert not model.to_capture
    assert not model.postponed
    assert len(model.units._records) == 0


# The queue


def drain(units: Units, now: float) -> list[str]:
    order = []
    while (account_id := units.first(now)) is not None:
        order.append(account_id)
        units.set(account_id, units[account_id].begin(now))
    return order


def test_unit_that_waited_for_its_grace_goes_before_those_that_come_now() -> None:
    units = Units()
    units.set("patient", IDLE.notify(0), grace=600)
    units.set("patient too", IDLE.notify(1), grace=600)
    units.set("just after", IDLE.notify(602))
    units.set("just before", IDLE.notify(599))
    units.set("long before", IDLE.notify(2))
    assert units.longest_wait(2) == 2
    assert drain(units, 2) == ["long before", "patient", "patient too"]
    for account_id in ("patient", "patient too"):
        units.set(account_id, IDLE.notify(int(account_id == "patient too")), grace=600)
    assert drain(units, 602) == ["just before", "patient", "patient too", "just after"]


@pytest.mark.parametrize("others", [0, 300])
def test_notice_takes_the_grace_of_a_unit_that_waits_for_its_turn(others: int) -> None:
    units, paused = Units(), IDLE.notify(0).begin(0, paused_until=10)
    units.set("paused", paused, grace=600)
    units.set("queued", IDLE.notify(0), grace=600)
    units.set("other", IDLE.notify(0), grace=60)
    for account_id in ("paused", "queued"):
        units.set(account_id, units[account_id].notice(5))
    for number in range(others):
        # What does not count any more is removed meanwhile.
        units.set("busy", IDLE.notify(1e6 - number))
    assert drain(units, 10) == ["queued", "paused", "other"]


def test_unit_is_brought_forward_and_has_one_turn() -> None:
    units = Units()
    for account_id in "ab":
        units.set(account_id, IDLE.notify(3_600))
    for time in (100, 50, 70):
        units.set("a", units["a"].notify(time))
    assert (units.first(49), units.next_ready_time()) == (None, 50)
    assert drain(units, 50) == ["a"]
    # Its next turn comes before the one that does not count any more.
    units.set("a", units["a"].end(50, 350))
    assert drain(units, 349) == []
    assert units.longest_wait(350) == 0
    assert drain(units, 350) == ["a"]
    units.set("a", units["a"].end(350, 10_000))
    assert drain(units, 9_999) == ["b"]
    assert drain(units, 10_000) == ["a"]


@given(
    turns=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 50), st.integers(0, 20)), min_size=1, max_size=60
    ),
    count=st.integers(1, 8),
)
def test_no_unit_starves_in_the_queue(turns: list[tuple[int, int, int]], count: int) -> None:
    """Turn after turn of any length, and each unit that had one is queued again with any grace: a unit is
    only ever passed by those that became ready before its deadline."""
    units, now = Units(), 0
    ready = {str(number): 0 for number in range(count)}
    deadlines = dict.fromkeys(ready, 50)
    for account_id in ready:
        units.set(account_id, IDLE.notify(0), grace=50)
    for seconds, grace, delay in turns:
        now += seconds
        first = units.first(now)
        if first is None:
            assert all(at > now for at in ready.values())
            continue
        assert ready[first] <= min(deadlines[each] for each, at in ready.items() if at <= now)
        ready[first] = now + delay
        deadlines[first] = now + delay + grace
        units.set(first, units[first].begin(now))
        units.set(first, units[first].end(now, now + delay), grace)


def test_only_units_that_are_not_idle_have_a_record() -> None:
    units = Units()
    for number in range(1_000):
        account_id = str(number)
        units.set(account_id, units[account_id].notify(0))
        assert len(units._records) == 1
        units.set(account_id, units[account_id].begin(0))
        units.set(account_id, units[account_id].end(0))
    assert len(units._records) == 0
    assert units.first(math.inf) is None


def test_what_does_not_count_any_more_is_removed_from_the_queue() -> None:
    units = Units()
    for number in range(10_000):
        units.set("a", IDLE.notify(1e9 - number))
        assert len(units._waiting) <= 2 + SPARE
    assert (units.next_ready_time(), units.first(1e9 - 10_000)) == (1e9 - 9_999, None)
    assert units.first(1e9 - 9_999) == "a"
