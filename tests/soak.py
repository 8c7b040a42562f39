"""The promise, and what puts it to the test: every object's last state is captured, whatever fails.

A case is a world, a capture of some streams of it, and sessions. In each session the world changes under the
capture's hands, requests fail in all the ways that pass, some troubles last (see `tests.troubles`), events
show up late and schedules fire; then the capture is killed or stops, perhaps while the reader of its output
stalls. The last session goes on until it has caught up, through `rounds` of changes and troubles with no kill
between. All of a case follows from its data, but for the order in which the event loop runs things.

What was captured is then held to the world. Besides, no session ends by itself but for a refused key or a
schedule, whatever ends it each line is whole, and nothing is held or paused once all has been caught up with.

The streams are all of the catalogue. Lists are compared every few seconds in place of hours, and the world
begins shortly before a midnight (UTC), at which lists of a longer past are read again.

    python -m tests.soak [--seconds N] [--seed N]

goes on with ever larger cases for so long, real processes among them, and exits with 1 at the first case that
does not hold.
"""

import argparse
import asyncio
import fcntl
import logging
import math
import os
import resource
import signal
import sys
import time
import traceback
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import orjson
import pytest

from sandbox.stripe import PLATFORM, Fault, Faults, StripeServer, Visit, World
from sandbox.stripe.journal import Journal
from sandbox.stripe.kinds import CHILDREN, KINDS
from sandbox.stripe.webhooks import WebhookFaults
from source_stripe_native.capture.refreshes import PREFIX as REFRESH
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.state.shards import LAST_KEY, WHOLE, Shard
from source_stripe_native.stripe.attempts import Attempt
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.pages import PageToken
from source_stripe_native.stripe.postponed import PREFIX
from source_stripe_native.stripe.rate_limit import Turn
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import UNLIMITED, Capture, Json
from tests.conftest import NOW
from tests.held import Holders, holders_watched, running, still_held
from tests.posts import CONFIG, listen, posting
from tests.test_streams import DAY, HELD, ROWS
from tests.troubles import KEY, LACKING, RULES, TROUBLES, Trouble, Troubles, may_be_refused, paths_of
from tests.untold import MADE_THERE, OWN_WAY, SOLD, Untold
from tests.verdict import wrong
from tests.warm_python import python

ROOT: Final = Path(__file__).parent.parent
LATEST: Final = 600
"""Seconds after which every event can be read."""
LAG: Final = int(DEFAULTS.lag.total_seconds())
"""Seconds for which the capture leaves events to show up."""
SETTLE: Final = LAG + 1
"""Seconds after which there is something new to read for every binding."""
ATTEMPTS: Final = 20
"""How often a request is tried where no time passes between."""
PATIENCE: Final = 300.0
"""Seconds that a session may take, many times what the longest takes when nothing else runs."""
MINUTE: Final = 60.0
OPEN_PATIENCE: Final = 5.0
"""Seconds in which an open capture that has caught up should hold nothing for a moment."""
WARM: Final = 20
"""Cases after which everything is loaded, so that memory should grow no more."""
PROCESS_EVERY: Final = 12
"""Every so many cases one is of real processes."""
LARGEST: Final = 24
INTERVAL: Final = timedelta(seconds=0.1)
"""How long a binding waits until it reads again."""
INTERVALS: Final = ("config", "scheduling.scheduler", "scheduling.subtasks")
"""The modules that allow for no interval below a second."""
MANY: Final = 8
"""The size from which on a case has many objects."""
ROUND: Final = 12
"""Changes of a round in the last session."""
POLLED: Final = frozenset(
    (
        "balance_transaction",
        "checkout.session",
        "file",
        "file_link",
        "forwarding.request",
        "identity.verification_report",
        "invoice_payment",
        "payment_record",
        "radar.value_list",
        "radar.value_list_item",
        "reporting.report_run",
        "three_d_secure.authentication",
        "v2.core.event",
        "v2.money_management.adjustment",
        "v2.money_management.transaction_entry",
    )
)
"""Kinds whose creation no event announces: their lists are read over again."""

NOT_SOAKED: Final = {
    "UsageRecords": "only API versions before 2025-03-31 have it: tests/test_usage_records.py",
}
"""Streams that no case has, and why."""
SOAKED: Final = tuple(each for each in ROWS if each not in NOT_SOAKED)
CHANGED: Final = frozenset(each.kind for each in HELD.values()) - {"account", "event", "item", *OWN_WAY}
"""Kinds that the world changes at random. Lines of a Checkout session come with it, never later."""

# What cases mix in: each is drawn from these values, and from those behind it once the connector holds them.
REFUSES: Final[tuple[str, ...]] = ("", "", "account", "endpoint", "failure")
ENDS: Final[tuple[str, ...]] = ("kill", "kill", "stop", "signal")
STALLS: Final = (0.0, 0.0, 0.2)
LATE_OBJECTS: Final = (0, 30, 300)
EFFECTS: Final = (False, True)
ODD_BODIES: Final = (0.0, 0.01)
WRONG_DATES: Final = (0.0, 0.01)
DELETIONS: Final = (0.0, 0.1)
UNTOLD: Final = (0.0, 0.3, 0.8)
COMPARED: Final = (1, 20, 120, 300)
BEFORE_MIDNIGHT: Final = {"P1D": (600, 10_800), "PT1H": (600, 10_800), "PT2M": (10_800,)}
"""Seconds, by the window: a day has many of the smallest."""

PROGRAM: Final = """
import sys
from datetime import timedelta
from estuary_cdk.capture import base_capture_connector
from source_stripe_native.__main__ import Settings, main
base_capture_connector.PERIODIC_RESTART_INTERVAL = float(sys.argv[1])
limits = {each: 100_000 for each in ("requests_live", "requests_test", "requests_per_endpoint")}
main(
    Settings(
        flush_interval=timedelta(milliseconds=100),
        longest_poll_wait=timedelta(),
        trusted_interval=timedelta(),
        trusted_poll_wait=timedelta(),
        snapshot_interval=timedelta(seconds=60),
        child_snapshot_interval=timedelta(seconds=120),
        patience=timedelta(seconds=3),
        key_patience=timedelta(),
        shortest_pause=timedelta(milliseconds=200),
        longest_pause=timedelta(seconds=1),
        stop_patience=timedelta(milliseconds=200),
        line_patience=timedelta(minutes=1),
        min_rate=200,
        **limits,
    )
)
"""
"""The connector as a process, without what it owes to Stripe's limits and with little patience. Its argument
is after how many seconds it stops, as it does after 24 hours."""
FOREVER: Final = 1e6
YEARLY: Final = "0 0 1 1 *"
"""A schedule that fires when it is told that the binding was initialized long ago."""
LONG_AGO: Final = "2020-01-01T00:00:00Z"
EVER: Final = {"since": "2011-01-01T00:00:00Z", "until": "2031-01-01T00:00:00Z"}
RESTARTS: Final = 20
"""How often the last session may end because of a schedule or a refused key."""


@dataclass(frozen=True)
class Session:
    """Ends after so many `checkpoints`. While it runs each request comes with a change by `chance`, and the
    `troubles` come and go. So many `changes` come after it, each `pause` seconds after the last.

    It `ends` by a kill, by a stop as a schedule or the 24 hours make it, or, if it is a process, by a signal.
    Its reader then `stalls` for so many seconds in the middle of a line. Before it the schedules of some
    bindings have `fired`."""

    checkpoints: int
    chance: float = 0.0
    troubles: tuple[Trouble, ...] = ()
    changes: int = 0
    pause: int = 0
    ends: str = "kill"
    stalls: float = 0.0
    fired: bool = False


HALVES: Final = (Shard(last=LAST_KEY // 2), Shard(LAST_KEY // 2 + 1))
POSTED: Final = {
    "well": WebhookFaults(),
    "badly": WebhookFaults(lost=0.2, doubled=0.2, late=0.3, late_seconds=0.5, forged=0.2),
}


@dataclass(frozen=True)
class Case:
    """`connected` is how many accounts are, None for a capture of the key's own alone; `objects` how many
    there are of each kind at the beginning; `late` how many seconds later than its time an event shows up at
    most; `faults` the chance of each kind of failure for each request.

    From one of the sessions on, and until the last, one connected account `refuses`: for good every request
    ("account") or those to the lists of one stream ("endpoint"), or it fails to answer those ("failure").
    Objects of polled lists are in their lists
    up to `late_objects` seconds after their creation. `effects` changes objects with only another one's
    events. `odd_bodies` and `wrong_dates` are the chances of each for a request, `deletions` that of a change
    to be the deletion of a customer."""

    seed: int
    streams: tuple[str, ...]
    sessions: tuple[Session, ...]
    connected: int | None = None
    objects: int = 5
    page_size: int = 3
    late: int = 0
    faults: float = 0.0
    window: str = "P1D"
    refuses: str = ""
    late_objects: int = 0
    effects: bool = False
    odd_bodies: float = 0.0
    wrong_dates: float = 0.0
    deletions: float = 0.0
    divided: float = DEFAULTS.pages_to_divide
    """Pages beyond which a slice of a backfill is divided."""
    poll_wait: int = 0
    """Seconds for which the polled list of a quiet connected account waits at most."""
    untold: float = 0.0
    """The chance of a change to be one that no event of the object's own tells."""
    compared: int = 60
    """Seconds after which a list is compared again; twice as many for a list of children."""
    before_midnight: int = 5400
    """Seconds before midnight (UTC) at which the world begins."""
    posted: str = ""
    """How Stripe posts its events to the capture: not at all where empty."""
    is_half: bool = False
    """Whether the capture is the shard of two that has the platform."""
    is_selected: bool = False
    """Whether the config leaves out an account."""
    refreshes: int = 0
    """Streams that the config asks to be captured again, from some session on."""
    rounds: int = 0
    """How often the world changes in the last session, each time after the capture has caught up."""
    last: Session = Session(1 << 30)
    """The last session, but for how it ends. Its first trouble comes at its beginning, one more with each
    round."""

    @property
    def start(self) -> int:
        """When the world begins, as a Unix time."""
        return (NOW // DAY + 1) * DAY - self.before_midnight

    @property
    def shard(self) -> Shard:
        """The part of the accounts that the capture is to have."""
        return next(half for half in HALVES if half.has(PLATFORM)) if self.is_half else WHOLE

    def left_out(self, world: World) -> list[str]:
        """The accounts that the config leaves out."""
        return world.accounts[1:][-1:] if self.is_selected else []


@dataclass
class Tally:
    """What was done, and what was found wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    by_way: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """The same of streams alone, by the way in which their changes are found."""
    at: str = ""
    """What the case is doing."""

    def __str__(self) -> str:
        return ", ".join(f"{self.counts[name]} {name}" for name in COUNTED)

    def ways(self) -> Iterator[str]:
        """A line for each way."""
        for way, counts in sorted(self.by_way.items()):
            yield f"  {way}: " + ", ".join(f"{counts[name]} {name}" for name in COUNTED_BY_WAY)


COUNTED: Final = (
    *(
        "cases",
        "processes",
        "sessions",
        "kills",
        "stops",
        "signals",
        "stalls",
        "restarts",
        "refused sessions",
    ),
    *("troubles", "refusals", "faults", "requests"),
    *("changes", "documents", "lost", "stale", "invented"),
)
COUNTED_BY_WAY: Final = ("streams", "documents", "lost", "stale", "invented")


class LateWorld(World):
    """A world whose events and objects show up late, by up to so many seconds, and that knows of every id
    there ever was."""

    def __init__(self, case: Case) -> None:
        self.late = 0
        self.running = False
        self.ever: set[str] = set()
        self._late_objects = case.late_objects
        self._lateness = Random(case.seed)
        super().__init__(case.seed, case.start, unordered=True, effects=case.effects)

    def _change(self, options: Json, at: int | None = None) -> Any:
        if self.late and self._lateness.random() < 0.5:
            options["visible_after"] = self._lateness.randrange(self.late + 1)
        return super()._change(options, at)

    def create(self, kind: str, /, account: str | None = None, **options: Any) -> Json:
        # What is made in passing, for another object to point to, is told of as well.
        silent = KINDS[kind].parent is not None or not self.running
        is_late = self._late_objects and self.running and kind in POLLED and self._lateness.random() < 0.5
        if is_late and "listed_after" not in options:
            options["listed_after"] = self._lateness.randrange(self._late_objects + 1)
        if kind == "balance_transaction":
            options.setdefault("available_on", self.clock.now() + self._lateness.randrange(DAY // 2))
        made = super().create(kind, account, **options if silent else options | {"event": True})
        self.ever.add(made["id"])
        return made


class Watch(Journal):
    """A journal that says of every request that it was made."""

    def __init__(self, on_visit: Callable[[Visit], None]) -> None:
        super().__init__()
        self._heard = on_visit
        self.total = 0

    def add(self, visit: Visit) -> None:
        super().add(visit)
        self.total += 1
        self._heard(visit)


class Process(Capture):
    """A capture whose sessions are processes."""

    ends = "kill"
    """How a session ends that has not come to its end: by SIGKILL, by SIGTERM, or by a stop of its own."""
    after: float = FOREVER
    """After how many seconds."""

    async def _serve(self, request: Json, take: Callable[[Json], None], enough: asyncio.Event) -> bool:
        read_end, write_end = os.pipe()
        if self.stall:
            fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, resource.getpagesize())
        try:
            process = await asyncio.create_subprocess_exec(
                *(python(), "-c", PROGRAM, str(self.after if self.ends == "stop" else FOREVER)),
                cwd=ROOT,
                env={**os.environ, API_BASE_VARIABLE: self.server.url, "LOG_LEVEL": "error"},
                stdin=asyncio.subprocess.PIPE,
                stdout=write_end,
                stderr=asyncio.subprocess.PIPE,
            )
        finally:
            os.close(write_end)
        output = asyncio.StreamReader(limit=1 << 27)
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), os.fdopen(read_end, "rb", buffering=0)
        )
        ending = asyncio.create_task(self._end(process, pipe))
        assert process.stdin
        try:
            process.stdin.write(orjson.dumps(request) + b"\n")
            while not enough.is_set() and (line := await output.readline()):
                if line.endswith(b"\n"):
                    take(orjson.loads(line))
                else:
                    assert self.ends == "kill", f"{self.ends} in the middle of a line"
                await asyncio.sleep(0)
            if enough.is_set():
                return False
            assert process.stderr
            log = (await process.stderr.read()).decode()
            return self._has_exited(await process.wait(), log)
        finally:
            ending.cancel()
            pipe.close()
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _has_exited(self, code: int, log: str) -> bool:
        """Whether a session has exited that has ended with this code. Raises SystemExit, with the end of its
        log, where it should not have ended so."""
        ended: dict[str, tuple[int, ...]] = {"kill": (-signal.SIGKILL,), "signal": (128 + signal.SIGTERM,)}
        if not self.is_open:
            # Python itself ends before the connector is loaded.
            ended["signal"] += (-signal.SIGTERM,)
        if self.has_ended and code in ended.get(self.ends, ()):
            return False
        if code:
            raise SystemExit(f"{code} after {log[-2000:]}")
        return True

    async def _end(self, process: asyncio.subprocess.Process, pipe: asyncio.ReadTransport) -> None:
        self.has_ended = False
        await asyncio.sleep(self.after)
        self.has_ended = True
        if self.stall:
            pipe.pause_reading()
            await asyncio.sleep(self.stall)
        with suppress(ProcessLookupError):
            if self.ends == "kill":
                process.kill()
            if self.ends == "signal":
                process.send_signal(signal.SIGTERM)
        if self.stall:
            # The process takes a moment to start, and stops that much later.
            await asyncio.sleep(self.stall + (1 if self.ends == "stop" else 0))
            pipe.resume_reading()


class Chaos:
    """What happens to a capture and to its world."""

    capture: Capture
    troubles: Troubles
    loop: asyncio.AbstractEventLoop
    """The one in which requests are answered. Checkpoints come in by another thread."""

    def __init__(self, case: Case, tally: Tally) -> None:
        self.case, self.tally = case, tally
        self.rng = Random(case.seed)
        self.world = LateWorld(case)
        self.faults = Faults()
        """Those of the server, once it runs."""
        self.refusing = ""
        """The account that refuses, or a part of it, for good."""
        self.refusals: list[Fault] = []
        self.kinds = kinds_of(case.streams, effects=case.effects)
        self.changed = [each for each in self.kinds if each in CHANGED]
        self.untold = Untold(self.world, self.rng, case.streams)
        """When the last session began."""
        self.cursors: list[tuple[str, str]] = []
        """The page cursors of the last checkpoint: the stream and the id of each."""
        self.started: dict[tuple[str, str], int] = {}
        self.horizon = 0
        self.chance = 0.0
        self.requests = 0
        """Requests of the session."""
        self.to_come: list[Trouble] = []
        """Troubles of the session that have not begun."""
        self.later: list[Trouble] = []
        """Troubles of the rounds to come."""
        self.is_key_refused = False
        """Whether the key was revoked in the session."""
        self.has_caught_up = asyncio.Event()
        """Whether the last session has caught up for good."""
        self.holders = Holders()
        self.has_fired = False
        """Whether a schedule has, which may stop a later session too."""
        self.rounds = case.rounds
        self.has_waited = False
        """Whether time has gone by after the last trouble."""
        self.key = self.world.restrict({row.readable_with for row in KINDS.values()})
        self.accounts: list[str] = []
        """The accounts that the capture is to have."""
        self.asked_for: set[str] = set()
        """The accounts that were asked for."""
        self.broken: list[Exception] = []
        """What the world failed with, while a session ran."""

    def choose_accounts(self) -> None:
        left_out = self.case.left_out(self.world)
        self.accounts = [each for each in self.case.shard.own(self.world.accounts) if each not in left_out]

    def populate(self, account: str) -> None:
        for name in KINDS:
            parent = KINDS[name].parent
            of_account = parent is not None and parent.kind == "account"
            if name not in self.kinds or (of_account and account == self.world.platform):
                continue
            if name in MADE_THERE:
                continue
            for number in range(self.case.objects):
                fields: Json = {}
                if parent and not of_account and (parents := self.world.list_all(parent.kind, account)):
                    fields[parent.argument] = self.rng.choice(parents[:2])["id"]
                self.world.create(
                    name, account, at=self.case.start - 1000 + number // 3, event=False, **fields
                )
        self.untold.populate(account, self.case.objects)

    def change(self) -> None:
        self.tally.counts["changes"] += 1
        if self.case.odd_bodies and self.rng.random() < 0.05:
            self.announce_nothing()
        if self.rng.random() < self.case.deletions:
            account = self.rng.choice(self.world.accounts)
            if customers := list(self.world.table("customer", account).by_id):
                self.world.delete("customer", self.rng.choice(customers), account)
                return
        if "Accounts" in self.case.streams and self.rng.random() < 0.3:
            self.change_account(self.rng.choice(self.world.accounts))
            return
        if self.untold.streams and self.rng.random() < self.case.untold:
            self.untold.change()
            return
        self.world.random_change(self.rng, self.changed)

    def change_account(self, account: str) -> None:
        """A change of an account itself, of which its own events tell: one of the account, or of another
        object alone."""
        if self.rng.random() < 0.5:
            self.world.update("account", account, metadata={"edit": str(self.rng.randrange(1000))})
            return
        status = self.rng.choice(("active", "inactive", "pending"))
        self.world.update("account", account, event=False, capabilities={"transfers": status})
        capability = {"id": "transfers", "object": "capability", "account": account, "status": status}
        self.world.announce("capability.updated", capability, account)
        self.world.ever.add(capability["id"])

    def announce_nothing(self) -> None:
        """An event that carries no object, or one without an id."""
        row = KINDS[self.rng.choice(self.changed)]
        types = f"{row.events.created} {row.events.updated} {row.events.deleted}".split()
        if types := [each for each in types if "{" not in each]:
            account = self.rng.choice(self.world.accounts)
            data = self.rng.choice((None, {"object": row.object_name}))
            self.world.announce(self.rng.choice(types), data, account)

    def refuse(self) -> None:
        """Let a connected account refuse from now on."""
        accounts = self.world.accounts[1:]
        if not self.case.refuses or self.refusing or not accounts:
            return
        account, stream = self.rng.choice(accounts), self.rng.choice(self.case.streams)
        paths = paths_of(HELD[stream].kind)
        if self.case.refuses == "endpoint" and not may_be_refused(paths):
            return
        self.refusing = account
        self.tally.counts["refusals"] += 1
        if self.case.refuses == "account":
            self.world.revoked.add(account)
            return
        trouble = RULES["500" if self.case.refuses == "failure" else LACKING]
        for each in paths:
            rule = replace(trouble, path=each, account=account)
            self.refusals.append(rule)
            self.faults.add(rule)

    def lift(self) -> None:
        """Let nothing be refused any more."""
        self.refusing = ""
        self.world.revoked.clear()
        for rule in self.refusals:
            self.faults.remove(rule)
        self.refusals.clear()

    def on_visit(self, visit: Visit) -> None:
        """Comes with every request: a trouble begins, something changes, time goes by, a list's cursor goes
        away."""
        self.asked_for.add(visit.account)
        with self.watching():
            self.meddle()

    def meddle(self) -> None:
        self.requests += 1
        if self.to_come and self.requests > self.to_come[0].after and self.capture.is_open:
            self.begin(self.to_come.pop(0))
        if self.rng.random() < self.chance:
            self.change()
            self.world.clock.advance(self.rng.choice((0, 0, 1, 2)))
        if self.cursors and self.rng.random() < self.chance:
            self.delete(*self.cursors.pop())

    def begin(self, trouble: Trouble) -> None:
        if (in_force := self.troubles.begin(trouble, is_open=self.capture.is_open)) is not None:
            self.tally.counts["troubles"] += 1
            self.is_key_refused |= trouble.kind == KEY
            self.loop.call_later(trouble.seconds, self.troubles.lift, in_force)

    def delete(self, stream: str, id: str) -> None:
        """Deletes an object, if it can be and Stripe would tell, or the capture would see."""
        for name in (HELD[stream].kind, *((p.kind,) if (p := KINDS[HELD[stream].kind].parent) else ())):
            row = KINDS[name]
            for account in self.world.accounts if name != "account" else ():
                found = self.world.table(name, account).by_id.get(id)
                is_seen = name == HELD[stream].kind and ROWS[stream].SHOWS_DELETIONS
                if found and (row.events.deleted or is_seen) and row.allows_deletion(found.data()):
                    self.world.delete(name, id, account)
                    self.tally.counts["changes"] += 1

    def note(self, capture: Capture) -> None:
        """Remembers the page cursors that a checkpoint left, and where following a stream began."""
        found = []
        for stream in self.case.streams:
            inc = capture.binding_state(stream).get("inc") or {}
            by_account = {self.world.platform: inc} if "cursor" in inc else inc
            for account, at in by_account.items():
                cursor = int(datetime.fromisoformat(at["cursor"]).timestamp())
                self.started.setdefault((stream, account), cursor)
            backfill = capture.binding_state(stream).get("backfill") or {}
            each = [backfill] if "cutoff" in backfill else [at for at in backfill.values() if at]
            tokens = [PageToken.parse(at["next_page"]) for at in each if at.get("next_page")]
            found += [(stream, token.after) for token in tokens if token.after]
        self.cursors = found

    def set_horizon(self) -> None:
        self.horizon = self.world.clock.now() - LAG

    def wait_for_all(self) -> None:
        """Lets as much time go by as whatever may be read late takes."""
        waited = max(LATEST, 2 * self.case.compared) + SETTLE + self.case.poll_wait
        if not self.rounds and any(ROWS[each].RELIST for each in self.case.streams):
            # Once a day, at midnight.
            waited = max(waited, DAY - self.world.clock.now() % DAY + SETTLE + self.case.poll_wait)
        self.world.clock.advance(waited)

    def at_end(self, capture: Capture) -> None:
        """Looks whether the last session has caught up for good. Otherwise the next trouble or round begins
        once it has."""
        if self.has_caught_up.is_set() or self.troubles.in_force:
            return
        try:
            is_open = bool(self.still_open(capture))
        except RuntimeError:
            return  # The state changed meanwhile, in the thread that writes.
        if is_open:
            return
        if self.to_come:
            self.begin(self.to_come.pop(0))
        elif self.rounds:
            self.turn()
        elif not self.has_waited and any(ROWS[each].SHOWS_DELETIONS for each in self.case.streams):
            # A deletion that could not be checked in a trouble is found by the next reading of its list.
            self.has_waited = True
            self.world.clock.advance(2 * self.case.compared + SETTLE)
            self.set_horizon()
        else:
            self.has_caught_up.set()

    def still_open(self, capture: Capture) -> list[str]:
        """What is paused, postponed or not caught up with."""
        postponed = (
            f"{stream} has {key}"
            for stream in self.case.streams
            for key in capture.binding_state(stream).get("snapshot") or {}
            if key.startswith(f"{PREFIX}/") or (key.startswith(f"{REFRESH}/") and key.count("/") > 1)
        )
        paused = (f"{unit} is paused" for unit in self.holders.paused())
        return [*self.behind(capture), *postponed, *paused]

    def turn(self) -> None:
        """A round: changes, and time for them to be read."""
        if self.later:
            self.begin(self.later.pop(0))
        for _ in range(ROUND):
            self.change()
            self.world.clock.advance(self.rng.choice((0, 1, 7, 60)))
        self.rounds -= 1
        if self.rounds:
            # Events are read, and a list is compared in some rounds only.
            self.world.clock.advance(SETTLE + self.case.poll_wait)
        else:
            self.wait_for_all()
        self.set_horizon()

    async def tick(self, look: Callable[[], object], session: "asyncio.Task[Any] | None") -> None:
        """Time goes by in a long session, as an account is read only when there is time to read it. Looks
        whether the session has ended, as a capture that is quiet writes no checkpoint for a while. Cancels
        the session where the world is broken."""
        while not self.broken:
            await asyncio.sleep(0.25)
            self.world.clock.advance(1)
            with self.watching():
                look()
        assert session is not None
        session.cancel()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Records what the world fails with: nobody awaits what meddles with it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - it ends the session
            self.broken.append(error)

    def caught_up(self, capture: Capture) -> bool:
        """Whether every backfill is complete and each cursor as far as it could be when it began."""
        return not self.behind(capture)

    def behind(self, capture: Capture) -> list[str]:
        """The streams, each with the accounts and parts that have not caught up."""
        found = []
        for stream in self.case.streams:
            state = capture.binding_state(stream)
            inc = state.get("inc") or {}
            cursors = {"": inc} if "cursor" in inc else inc
            wait = self.case.poll_wait if ROWS[stream].POLLS else 0
            late = [
                f"{account or 'cursor'} at {at['cursor']}"
                for account, at in cursors.items()
                if account != (self.refusing or None)
                and datetime.fromisoformat(at["cursor"]).timestamp() < self.horizon - wait
            ]
            unfinished = [
                f"{key} is backfilled"
                for key in state.get("backfill") or {}
                if not self.refusing or not key.startswith(self.refusing)
            ]
            if not cursors or late or unfinished:
                found.append(f"{stream} is behind: {', '.join([*late, *unfinished])}")
        return found

    async def session(
        self,
        capture: Capture,
        session: Session,
        until: Callable[[], bool],
        look: Callable[[], object] = lambda: None,
    ) -> None:
        """One session and what comes after it: `until` is asked at each checkpoint, `look` is called at all
        times. Raises SystemExit where it ends otherwise than it should."""

        def at_checkpoint() -> bool:
            self.note(capture)
            return until()

        self.set_horizon()
        if session.fired:
            self.fire(capture)
        ticking = asyncio.create_task(self.tick(look, asyncio.current_task()))
        self.chance, self.requests, self.is_key_refused = session.chance, 0, False
        capture.is_open, capture.stall = False, session.stalls
        self.to_come = [each for each in session.troubles if each.after >= 0]
        for trouble in session.troubles:
            if trouble.after < 0:
                self.begin(trouble)
        stops = session.ends == "stop"
        counts = self.tally.counts
        counts.update(sessions=1, stalls=int(session.stalls > 0))
        try:
            has_exited = await capture.session(
                at_checkpoint,
                checkpoints=session.checkpoints,
                seconds=PATIENCE,
                stops=stops and not isinstance(capture, Process),
            )
            counts["stops" if has_exited and stops else "restarts" if has_exited else f"{session.ends}s"] += 1
            assert not has_exited or stops or session.fired or self.has_fired, "it has exited by itself"
        except SystemExit:
            if not self.is_key_refused:
                raise
            counts["refused sessions"] += 1
        except TimeoutError:
            raise TimeoutError("; ".join(self.still_open(capture))) from None
        except asyncio.CancelledError:
            if self.broken:
                raise AssertionError(f"the world failed with {self.broken[0]!r}") from self.broken[0]
            raise
        finally:
            ticking.cancel()
            self.chance = 0.0
            self.to_come.clear()
            self.troubles.lift_all()
        self.change_between(session)

    def refresh(self, capture: Capture) -> None:
        """Has the config ask for some streams again, of whatever there is."""
        streams = self.rng.sample(self.case.streams, min(self.case.refreshes, len(self.case.streams)))
        capture.config["advanced"]["refresh"] = [{"stream": each, **EVER} for each in streams]

    def fire(self, capture: Capture) -> None:
        """Lets the schedules of some bindings have fired."""
        for stream in self.case.streams:
            if capture.binding_state(stream) and self.rng.random() < 0.5:
                self.has_fired = True
                capture.state["bindingStateV1"][stream]["last_initialized"] = LONG_AGO

    def change_between(self, session: Session) -> None:
        """What happens after a session."""
        for cursor in self.cursors:
            if self.rng.random() < 0.3:
                self.delete(*cursor)
        self.cursors = []
        for _ in range(session.changes):
            self.change()
            self.world.clock.advance(session.pause)
        # Where nothing but lists is followed, the next session would wait for its first checkpoint.
        waits = all(ROWS[each].POLLS for each in self.case.streams)
        self.world.clock.advance(SETTLE + (self.case.poll_wait if waits else 0))

    async def last_session(self, capture: Capture) -> list[str]:
        """The last session, which is started again where a schedule or a refused key ends it. Returns what is
        held though all has been caught up with."""
        last = self.case.last
        first, self.later = last.troubles[:1], list(last.troubles[1 : 1 + self.rounds])
        session = Session(1 << 30, troubles=first, fired=last.fired)
        found: list[str] = []
        for _ in range(RESTARTS):
            running = asyncio.create_task(
                self.session(capture, session, lambda: False, lambda: self.at_end(capture))
            )
            ended = asyncio.create_task(self.has_caught_up.wait())
            await asyncio.wait([running, ended], return_when=asyncio.FIRST_COMPLETED)
            if self.has_caught_up.is_set():
                held = await still_held(self.holders, OPEN_PATIENCE)
                running.cancel()
                await asyncio.wait([running])
                self.tally.counts["kills"] += 1
                found += [f"{number} {what} held by an open capture" for what, number in held.items()]
                return [*found, *await self.left()]
            ended.cancel()
            await running
            found += await self.left()
            self.wait_for_all()
            session = Session(1 << 30)
        raise AssertionError("the last session ends again and again")

    async def left(self) -> list[str]:
        """What is left of a session that has ended."""
        held = await still_held(self.holders)
        self.holders.clear()
        return [
            *(f"{number} {what} left" for what, number in held.items()),
            *(f"{name} left" for name in running()),
        ]


def kinds_of(streams: Sequence[str], *, effects: bool = False) -> list[str]:
    """The kinds of the objects that `streams` are made of, with their parents and children, and, with
    `effects`, those that change them; customers at the least, as there can always be some."""
    wanted = {"customer"}
    for stream in streams:
        if ROWS[stream].EMBEDDINGS:
            parents = [parent for kind, _ in SOLD if (parent := KINDS[kind].parent)]
            wanted |= {*(kind for kind, _ in SOLD), *(each.kind for each in parents)}
        row = KINDS[HELD[stream].kind]
        wanted |= {row.name, *(each.name for each in CHILDREN[row.name])}
        if row.parent:
            wanted.add(row.parent.kind)
    if effects:
        for row in KINDS.values():
            pulls = {row.pulls.kind} if row.pulls else set()
            containers = {kind for container in row.holders for kind in container.kinds}
            if wanted & ({effect.kind for effect in row.effects} | containers | pulls):
                wanted.add(row.name)
    held = {each.kind for each in HELD.values()} - {"account", "event"}
    return [each for each in KINDS if each in wanted & held]


def failures(chance: float, burst: int = 4) -> list[Fault]:
    """Each kind of failure that passes, by `chance` of a request, and bursts of so many."""
    limit = {"type": "invalid_request_error", "code": "rate_limit", "message": "Request rate limit exceeded."}
    retry = {"stripe-should-retry": "true"}
    kinds: list[Json] = [
        {"status": 429, **limit},
        {"status": 429, **limit, "headers": {**retry, "retry-after": "1"}},
        {"status": 409, "code": "lock_timeout", "headers": retry},
        {"status": 500},
        {"status": 503, "message": "Service unavailable", "headers": {"retry-after": "1"}},
        {"reset": True},
        {"truncate": True},
        {"slow": 0.02},
        {"latency": 0.01},
    ]
    each = [Fault(probability=chance / 2, **kind) for kind in kinds]
    bursts = [
        Fault(after=7 + 31 * place, times=burst, probability=0.999, **kind)
        for place, kind in enumerate(kinds)
    ]
    return [*each, *bursts] if chance else []


def oddities(case: Case) -> list[Fault]:
    """Answers that are not what was asked for, each of them passing."""
    bodies = [Fault(odd=each, probability=case.odd_bodies) for each in ("html", "empty")]
    # Two wrong dates in a row that agree would be a Stripe whose clock is wrong.
    every = int(1 / case.wrong_dates) if case.wrong_dates else 1
    dates = [Fault(date=each, every=every, after=after) for each, after in ((-86_400, 7), (3600, 31))]
    return [*(bodies if case.odd_bodies else ()), *(dates if case.wrong_dates else ())]


@contextmanager
def hurried() -> Iterator[pytest.MonkeyPatch]:
    """No time passes between a failure and the next attempt, and little between two readings."""
    pause_before = StripeSession._pause

    def pause(self: StripeSession, attempt: Attempt, turn: Turn, error: Exception) -> float | None:
        seconds, is_over = pause_before(self, attempt, turn, error), attempt.request.number >= ATTEMPTS
        return (
            None
            if seconds is None or is_over
            else min(seconds, 0.01 if attempt.refused_by is not None else 0.0)
        )

    with pytest.MonkeyPatch.context() as patch:
        for module in INTERVALS:
            patch.setattr(f"source_stripe_native.{module}.MIN_INTERVAL", INTERVAL)
        patch.setattr(StripeSession, "_pause", pause)
        patch.setattr("source_stripe_native.stripe.pages.backoff", lambda _: 0.0)
        yield patch


async def run(case: Case, tally: Tally, kind: type[Capture] = Capture) -> list[str]:
    """Runs a case and returns what is wrong with what was captured, nothing if nothing is."""
    chaos = Chaos(case, tally)
    world = chaos.world
    for _ in range(case.connected or 0):
        world.connect(at=case.start - 2000)
    chaos.choose_accounts()
    for account in world.accounts:
        chaos.populate(account)
    world.late, world.running, chaos.untold.is_told = case.late, True, True
    with hurried() as patch, holders_watched() as chaos.holders:
        async with StripeServer(world) as server, AsyncExitStack() as posts:
            if case.posted:
                await posts.enter_async_context(posting(world, listen(patch), POSTED[case.posted]))
            # A process waits between two attempts: no burst is to take all of its patience when it starts.
            passing = failures(case.faults, 2 if issubclass(kind, Process) else 4)
            chaos.faults = server.faults = Faults([*passing, *oddities(case)], case.seed)
            server.journal = watch = Watch(chaos.on_visit)
            patch.setenv(API_BASE_VARIABLE, server.url)
            chaos.capture = capture = capture_of(chaos, kind, server)
            chaos.troubles = Troubles(
                world, server.faults, chaos.rng, case.streams, chaos.key, case.page_size
            )
            chaos.loop = asyncio.get_running_loop()
            found = await run_sessions(chaos, capture)
            tally.counts["requests"] += watch.total
            tally.counts["faults"] += sum(server.faults.fired(each) for each in server.faults.rules)
    tally.counts["cases"] += 1
    tally.counts["processes"] += isinstance(capture, Process)
    tally.counts["documents"] += len(capture.documents)
    strange = chaos.asked_for - {"", world.platform, *chaos.accounts}
    return [*found, *(f"{each} was asked for" for each in strange), *wrong(chaos, capture)]


def capture_of(chaos: Chaos, kind: type[Capture], server: StripeServer) -> Capture:
    case, posted = chaos.case, CONFIG["advanced"]
    advanced: Json = {"incremental_window_size": case.window} | (posted if case.posted else {})
    if case.connected is not None and (left_out := case.left_out(server.world)):
        advanced["connected_accounts"] = {"exclude": left_out}
    return kind(
        server,
        streams=list(case.streams),
        connected=case.connected is not None,
        key=chaos.key,
        keys=(case.shard.first, case.shard.last),
        interval=f"PT{INTERVAL.total_seconds()}S",
        schedule=YEARLY if any(each.fired for each in (*case.sessions, case.last)) else "",
        config={"advanced": advanced},
        settings=replace(
            UNLIMITED,
            page_size=case.page_size,
            pages_to_divide=case.divided,
            # Slices are of use at any latency.
            slice_surplus=10**9,
            longest_poll_wait=timedelta(seconds=case.poll_wait),
            active_poll_wait=timedelta(seconds=case.poll_wait / 4),
            # The world's clock makes a leap with each round, of which Stripe is asked at once.
            longest_silence=timedelta() if case.rounds else UNLIMITED.longest_silence,
            # Accounts that rest would not catch up with the leaps of the clock.
            trusted_interval=timedelta(),
            trusted_poll_wait=timedelta(seconds=case.poll_wait),
            post_patience=timedelta(milliseconds=50),
            snapshot_interval=timedelta(seconds=case.compared),
            child_snapshot_interval=timedelta(seconds=2 * case.compared),
            shortest_pause=timedelta(milliseconds=50),
            longest_pause=timedelta(milliseconds=200),
            stop_patience=timedelta(milliseconds=100),
            schedule_interval=timedelta(milliseconds=50),
            # What is kept for a stream that comes late is no longer held after a moment.
            shared_page_retention=timedelta(milliseconds=300),
            # What refusals for rate have made slow is fast again at once.
            min_rate=1_000,
        ),
    )


async def run_sessions(chaos: Chaos, capture: Capture) -> list[str]:
    """Runs the sessions of a case and returns what they left or still held."""
    found: list[str] = []
    for number, session in enumerate(chaos.case.sessions):
        chaos.tally.at = f"session {number}"
        if isinstance(capture, Process):
            capture.ends, capture.after = session.ends, 0.1 + chaos.rng.random() * 2.5
        if chaos.rng.random() < 0.5:
            chaos.refuse()
        if number and chaos.case.refreshes:
            chaos.refresh(capture)
        # A stop or a signal is to meet a process at any time.
        is_to_end = isinstance(capture, Process) and session.ends != "kill"
        await chaos.session(capture, session, lambda: not is_to_end and chaos.caught_up(capture))  # noqa: B023  # it is awaited within the turn
        found += await chaos.left()
    if isinstance(capture, Process):
        capture.ends, capture.after = "kill", FOREVER
    chaos.tally.at = "the last session"
    chaos.lift()
    chaos.refresh(capture)
    chaos.wait_for_all()
    return [*found, *await chaos.last_session(capture)]


def draw_troubles(rng: Random, most: int, longest: float) -> tuple[Trouble, ...]:
    """Up to so many troubles."""
    return tuple(
        Trouble(scope, kind, rng.choice((-1, 0, 20, 100)), rng.uniform(0.05, longest))
        for scope, kind in (rng.choice(TROUBLES) for _ in range(rng.randint(0, most)))
    )


def draw(rng: Random, size: int) -> Case:
    """A case of a soak, the larger the greater `size`."""
    sessions = tuple(
        Session(
            checkpoints=rng.randint(1, 8 + size),
            chance=rng.choice((0, 0.05, 0.2)),
            troubles=draw_troubles(rng, 3, 2.0),
            changes=rng.randint(0, 8 + size),
            pause=rng.choice((0, 0, 1, 7, 45)),
            ends=rng.choice(ENDS[:-1]),
            stalls=rng.choice(STALLS),
            fired=rng.random() < 0.1,
        )
        for _ in range(rng.randint(0, 4))
    )
    window = rng.choice(list(BEFORE_MIDNIGHT))
    return Case(
        seed=rng.randrange(1 << 32),
        streams=tuple(rng.sample(SOAKED, rng.randint(1, min(len(SOAKED), 6 + 2 * size)))),
        sessions=sessions,
        connected=rng.choice((None, 0, 1 + size // 8)),
        objects=rng.randint(0, 6 + size),
        page_size=rng.choice((1, 2, 3, 5, 10, 100)),
        late=rng.choice((0, 30, LATEST)),
        faults=rng.choice((0, 0.01, 0.03)),
        window=window,
        refuses=rng.choice(REFUSES),
        late_objects=rng.choice(LATE_OBJECTS),
        effects=rng.choice(EFFECTS),
        odd_bodies=rng.choice(ODD_BODIES),
        wrong_dates=rng.choice(WRONG_DATES),
        deletions=rng.choice(DELETIONS),
        divided=rng.choice((0.5, 2, DEFAULTS.pages_to_divide)),
        poll_wait=rng.choice((0, 0, 60, 900)),
        untold=rng.choice(UNTOLD),
        # Faults of 3 % that are 429s slow down what makes thousands of requests.
        compared=rng.choice(COMPARED if size < MANY else COMPARED[-1:]),
        before_midnight=rng.choice(BEFORE_MIDNIGHT[window]),
        posted=rng.choice(("", "", *POSTED)),
        is_half=rng.random() < 0.2,
        is_selected=rng.random() < 0.2,
        refreshes=rng.choice((0, 0, 0, 1, 3)),
        rounds=rng.choice((0, 1, 2)),
        last=Session(1 << 30, troubles=draw_troubles(rng, 3, 3.0), fired=rng.random() < 0.1),
    )


def draw_process(rng: Random) -> Case:
    """A case of real processes, which wait between a failure and the next attempt: failures are rare."""
    sessions = tuple(
        Session(
            1 << 30,
            chance=0.03,
            troubles=draw_troubles(rng, 2, 6.0),
            changes=20,
            pause=3,
            ends=rng.choice(ENDS),
            stalls=2 * rng.choice(STALLS),
            fired=rng.random() < 0.1,
        )
        for _ in range(rng.randint(1, 6))
    )
    return Case(
        seed=rng.randrange(1 << 32),
        streams=SOAKED,
        sessions=sessions,
        connected=rng.choice((None, 1)),
        objects=rng.randint(1, 6),
        page_size=100,
        late=60,
        faults=0.004,
        untold=0.3,
        posted=rng.choice(("", *POSTED)),
        is_half=rng.random() < 0.2,
        is_selected=rng.random() < 0.2,
        refreshes=rng.choice((0, 0, 3)),
        rounds=1,
        last=Session(1 << 30, troubles=draw_troubles(rng, 2, 6.0), fired=rng.random() < 0.1),
    )


def memory() -> float:
    """Resident memory of this process in megabytes, as Linux counts it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return math.nan
    line = next(each for each in status.read_text().splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


class Errors(logging.Handler):
    """The last errors that were logged. Some are expected: of a key that is refused, for one."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.last: deque[str] = deque(maxlen=5)

    def emit(self, record: logging.LogRecord) -> None:
        self.last.append(self.format(record))


def soak(seconds: float, seed: int) -> int:
    """Runs cases for so long, one after another, and returns the exit code."""
    print(f"seed {seed}", flush=True)
    rng, tally, errors = Random(seed), Tally(), Errors(logging.ERROR)
    logging.getLogger().addHandler(errors)
    started, told, before, number = time.monotonic(), time.monotonic(), 0.0, 0
    while time.monotonic() - started < seconds:
        as_process = number % PROCESS_EVERY == PROCESS_EVERY - 1
        case = draw_process(rng) if as_process else draw(rng, min(number // 100, LARGEST))
        errors.last.clear()
        try:
            found = asyncio.run(run(case, tally, Process if as_process else Capture))
        except (SystemExit, Exception) as error:  # noqa: BLE001 - whatever it is, the case does not hold
            found = [f"{tally.at} ended in {error!r}", *traceback.format_tb(error.__traceback__)[-1:]]
        if found:
            print(*tally.ways(), sep="\n")
            print(
                f"{tally}\ncase {number} of seed {seed} does not hold:",
                *found,
                *errors.last,
                case,
                sep="\n  ",
            )
            return 1
        number += 1
        if number == WARM:
            before = memory()
        if time.monotonic() - told > MINUTE:
            told = time.monotonic()
            print(f"after {told - started:.0f} s: {tally}", flush=True)
    print(
        f"{time.monotonic() - started:.0f} s, seed {seed}: {tally}; "
        f"memory {before:.0f} MB after {WARM} cases, {memory():.0f} MB at the end",
        *tally.ways(),
        sep="\n",
    )
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Puts the capture to the test for some time.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    return soak(given.seconds, given.seed)


if __name__ == "__main__":
    sys.exit(main())
