"""Every number that shapes how the connector behaves, in one frozen object that is passed along.

Rule: a module reads a number from the `Settings` that it is given, never from a constant of its own, so that
a test runs a capture with other numbers and patches nothing. Facts about Stripe (how long Stripe keeps
events, how many objects a page holds at most) are constants beside the code that relies on them.

Units are in the types: `timedelta` for times, and for plain numbers the unit in the description.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Settings:
    # Requests

    requests_live: float = 80
    """Requests a second in all with a live key. Stripe allows 100; the rest is the user's own."""
    requests_test: float = 20
    """Requests a second in all with a test key. Stripe allows 25."""
    requests_per_endpoint: float = 20
    """Requests a second of an account to one endpoint, unless the config sets the total. Stripe allows 25."""
    utilisation: float = 0.96
    """The part of a rate limit that is used."""
    max_lateness: float = 0.02
    """Seconds that a request may be late without delaying the requests after it. Of what `utilisation` leaves
    of a second this takes one half; the other half is for what the network delays unevenly."""
    watched_answers: int = 20
    """Answers of a limit that are looked at together, for refusals that are more than usual."""
    few_refusals: float = 0.04
    """The share of refusals for rate that is no reason to go slower."""
    reduction: float = 0.9
    """What a reduction leaves of the rate that Stripe accepted."""
    largest_cut: float = 0.25
    """The least that a reduction takes for that rate, as a part of the rate before."""
    check_answers: int = 800
    """Answers after which it is checked again that refusals do not depend on the rate."""
    refusals_in_a_row: int = 100
    """Refusals without an answer between them after which a limit lets the fewest requests through."""
    recovery: timedelta = timedelta(seconds=45)
    """How long a reduced rate takes to grow to 2.7 times: by 5 % after ten seconds, by 22 % after twenty."""
    recovery_rate: float = 20
    """Requests a second below which a rate recovers by its requests, each as a part of a second."""
    min_rate: float = 1.0
    """Requests a second that no 429 takes away, and that the smallest shard has."""
    least_share: int = 10
    """One of this many requests is of each lower priority while those of a higher one wait, so that polled
    lists and backfills go on slowly."""
    limits_kept: int = 2_000
    """Rate limits of single accounts beyond which those that are not in use are forgotten."""
    max_in_flight: int = 100
    """Requests that wait for their answer at most: more would queue where no priority counts."""
    endpoint_surplus: int = 4
    """How many times as many of them may be to one endpoint as further ones may leave."""
    patience: timedelta = timedelta(minutes=1)
    """How long a request is asked again that fails while others are answered, without the wait for the rate
    limiter."""
    unary_patience: timedelta = timedelta(seconds=10)
    """The `patience` where a person waits for the answer: in discover and validate."""
    key_patience: timedelta = timedelta(minutes=1)
    """How long a capture asks again when Stripe refuses a key that it has accepted before: a key is replaced
    in more than one place."""
    outage_patience: timedelta = timedelta(minutes=30)
    """How long Stripe may be silent to everybody before the capture ends."""
    outage_gap: timedelta = timedelta(seconds=90)
    """How long after a failed attempt another one may leave to belong to the same outage. Between two
    attempts of one request lie 60 seconds at most, and the wait for the rate limiter."""
    warning_gap: timedelta = timedelta(minutes=1)
    """The least time between two warnings that Stripe does not answer: in an outage all requests fail."""
    account_attempts: int = 4
    """Attempts of a request for a connected account that fails. Then the account is paused, so that another
    one has its place."""
    brief_pause: timedelta = timedelta(seconds=3.75)
    """The first pause of a connected account after a failure that Stripe does not call final: the request
    had a few attempts only."""
    shortest_pause: timedelta = timedelta(minutes=1)
    """The first pause after any other failure, and the shortest pause that is reported. Each further failure
    doubles a pause."""
    longest_pause: timedelta = timedelta(hours=1)
    """How long what fails is paused at most."""
    postponed_at_most: int = 100
    """Objects of a stream and account that cannot be read for now, beyond which the stream is paused."""
    pause_report_gap: timedelta = timedelta(hours=1)
    """How long after its report the same pause is not reported again, however often it ends and begins."""
    key_answer_retention: timedelta = timedelta(seconds=10)
    """How long it is remembered whether Stripe answers the key, for all failures that leave that open."""
    refusal_retention: timedelta = timedelta(hours=1)
    """How long an expansion that lacks a permission is left out, before it is asked for again."""
    stop_patience: timedelta = timedelta(seconds=5)
    """How long a capture that is to stop goes on with what it is doing. Then it is cancelled."""
    page_attempts: int = 3
    """How often a page is asked for whose answer is none, or has more and leads nowhere."""
    longest_silence: timedelta = timedelta(minutes=1)
    """How long the time is carried on without an answer before Stripe is asked for it."""
    page_size: int = 100
    """Objects on a page of a list."""
    page_sizes_kept: int = 1_000
    """Lists whose pages are smaller for now, since Stripe failed to render a whole one."""

    # Memory

    unwritten_bytes: int = 64_000_000
    """Bytes of all pages and windows that are read and not yet written, for the whole process."""
    change_bytes: int = 16_000_000
    """Those that only changes may use. The rest is for backfills, so that neither waits for the other."""
    page_bytes: int = 1_500_000
    """Bytes that a page of a backfill is expected to hold at least, before it is read. While it is read it
    takes more than what it holds: its objects, and those that are listed under them."""
    window_bytes: int = 100_000
    """The same for the changes of one window in one binding."""
    step_documents: int = 2_000
    """Documents of a page or window that grows which one checkpoint carries at most."""
    step_bytes: int = 500_000
    """Bytes of such documents of a backfill after which a checkpoint is written."""

    # Objects inside objects

    concurrent_parents: int = 10
    """Parents of a page whose children are requested at once. They are captured in the page's order."""
    max_nested: int = 10_000
    """Objects of one list inside a document that are read at most."""

    map_keys: int = 50
    """Fields inside maps that a list is asked to expand at most, such as the tiers of each currency of
    prices. Others are read object by object."""

    lookup_bytes: int = 8_000_000
    """Bytes of objects that are remembered since many documents show them, such as the prices of Checkout
    sessions."""
    lookup_retention: timedelta = timedelta(minutes=10)
    """How long such an object is remembered."""

    # Changes

    changes_at_once: int = 500
    """Changes of one window that are looked at together, for objects to be read again through their list."""
    least_listed: int = 5
    """How many such objects a page of the list has to show, for the next page to be worth its request."""
    rereads_at_once: int = 50
    """Changed objects of one window that are read again at once."""

    lag: timedelta = timedelta(seconds=10)
    """How far behind Stripe's clock a window ends at least: events and listed objects become visible late."""
    lag_share: float = 0.2
    """The part of an interval, at most, by which a reading is early because a cursor is as old as the lag."""
    overlap: timedelta = timedelta(minutes=10)
    """How late an event or a listed object may become visible, beyond the lag, to be captured."""
    overlap_interval: timedelta = timedelta(minutes=1)
    """How often the overlap is read. The readings in between read their window alone."""
    target: int = 2_000
    """Events that a window is to hold. It may hold twice as many before it is cut."""
    growth: int = 8
    """How many times longer a window may be than the one whose density it was made for."""
    batch_memory: int = 250_000
    """Bytes of an event batch that are kept in memory. A larger batch is kept on disk."""
    batch_lines: int = 100
    """Events of a batch that are parsed at once."""
    batch_retention: timedelta = timedelta(hours=1)
    """How long event batches are kept at most. A binding further behind reads on its own."""
    batch_bytes: int = 64_000_000
    """The size of all event batches that are kept, of all accounts together. Beyond it the oldest are
    dropped, even where a binding has not read them yet; only the newest is kept whatever its size. The newest
    parts of windows that held too much may have as many bytes again."""
    subscription_spread: timedelta = timedelta(hours=2)
    """How far apart the cursors of subscribers may be that are read together from the earliest on. More than
    `longest_poll_wait`, since a cursor waits for its list."""

    trusted_interval: timedelta = timedelta(hours=1)
    """How often an account without notices is read while notices can be relied on."""
    trusted_share: float = 0.1
    """The part of the rate limit that such readings take at most: with many accounts they are rarer."""
    trusted_poll_wait: timedelta = timedelta(hours=6)
    """How long a list without events waits at most in such an account."""
    post_patience: timedelta = timedelta(minutes=1)
    """How long after an event was found its post may come to have announced it."""
    misses_in_a_row: int = 3
    """Events without a post, and none with one between them, after which all accounts are read again."""
    announced_events: int = 100_000
    """Announced events, not found yet, that are remembered."""
    notice_gap: timedelta = timedelta(milliseconds=500)
    """How long after a reading of its newest events an account is not read so again, whatever is
    announced."""
    early_reach: timedelta = timedelta(minutes=1)
    """How far back the newest events are read after a notice. Older ones have their turn with the cursor."""
    early_pages: int = 10
    """Pages that such a reading has at most."""
    early_events: int = 10_000
    """Events of a stream and account, ahead of its cursor, beyond which nothing more is captured early."""

    shared_list_retention: timedelta = timedelta(minutes=1)
    """How old the page of a polled list may be that another stream is given."""
    shared_list_bytes: int = 8_000_000
    """Bytes of all such pages that are kept."""

    snapshot_interval: timedelta = timedelta(hours=1)
    """How often a whole list is read again and compared, for changes without an event."""
    child_snapshot_interval: timedelta = timedelta(hours=6)
    """The same for lists of children, which take a request for each parent."""
    remembered_of_list: int = 1_000
    """Objects of one such list that the state remembers, so that a deletion is found after a restart too. An
    entry has about 180 bytes. Of a longer list it remembers none."""
    remembered_bytes: int = 64_000_000
    """Bytes in memory of what is remembered of such lists, where the state does not have it."""
    remembered_objects: int = 50_000
    """Objects of all such lists, of all accounts together, that the state remembers at most."""

    retention_margin: timedelta = timedelta(hours=1)
    """How long before Stripe drops an event it must be read. A binding with less time is backfilled again."""
    clock_tolerance: timedelta = timedelta(minutes=1)
    """How far ahead of Stripe's clock a time in the state may be without a warning."""

    # Backfills

    max_slices: int = 16
    """Slices of one stream that are read side by side at most."""
    slice_surplus: int = 3
    """How many times as many slices are read as would do if each was always waiting for an answer."""
    pages_to_divide: float = 16
    """A slice with more pages left than this may be divided."""
    pages_to_find_oldest: int = 50
    """Pages of a backfill's subtask after which its oldest object is looked for, to tell how much is left."""
    oldest_tolerance: float = 0.1
    """What may be without objects at the old end of a list, as a part of the time from there to its top."""
    least_share_timed: float = 0.05
    """What a process has to have done of a backfill before it reports how long the rest takes, as a share."""

    shared_page_bytes: int = 16_000_000
    """Bytes of all pages of parents that are kept for other child streams."""
    shared_page_retention: timedelta = timedelta(minutes=5)
    """How long such a page is kept at most. A child stream that comes later reads it for itself."""

    # Connected accounts

    subtasks: int = 640
    """Subtasks of accounts that run at once in all, divided among the bindings. Far fewer requests are made
    at once, but each binding is to have some that wait."""
    subtasks_per_binding: int = 64
    """Subtasks of one binding that run at once at most."""
    account_readers: int = 16
    """Accounts whose events are read at once."""
    quiet_wait: timedelta = timedelta(minutes=30)
    """How much later than its turn an account without recent events is read at most."""
    longest_poll_wait: timedelta = timedelta(hours=1)
    """How long a list without events waits at most, in an account in which nothing happens."""
    active_poll_wait: timedelta = timedelta(minutes=15)
    """How often at most such a list is read for the account's events alone, while nothing is found in it."""
    new_accounts_interval: timedelta = timedelta(hours=1)
    """How often the capture looks for new accounts."""
    late_after: timedelta = timedelta(minutes=10)
    """How long changes may wait, beyond the interval and the lag, before the binding is said to be late."""
    flush_interval: timedelta = timedelta(minutes=1)
    """How often the cursors of accounts that had nothing new are written, a binding's in one checkpoint."""
    flush_at_most: int = 900
    """Cursors of a binding that are then written at most, about 65 bytes each. With more accounts each waits
    its turn: after a crash, events since its last turn are read again."""
    flush_in_all: int = 40_000
    """Cursors of all bindings that are written in an interval at most, divided among the bindings."""
    account_ranges: int = 10
    """Ranges of creation time by which connected accounts are listed at once."""

    # The summary

    first_summary: timedelta = timedelta(seconds=10)
    """When the first summary of a capture is written, counted from its opening."""
    summary_interval: timedelta = timedelta(minutes=1)
    """How often a summary is written while anything is under way or new."""
    quiet_summary_interval: timedelta = timedelta(minutes=10)
    """How often a summary is written otherwise."""

    # The process

    line_patience: timedelta = timedelta(seconds=3)
    """How long a process that a signal ends waits for the end of the line that is under way."""
    schedule_interval: timedelta = timedelta(seconds=10)
    """How often the capture looks whether a schedule that has fired can be served."""
    middle_collections: int = 3
    """Collections of the garbage collector's middle generation before one of everything. The fewer, the less
    garbage is freed at once while everything else waits."""

    def pause_after(self, failures: int) -> timedelta:
        """How long what has failed so often in a row is paused."""
        return min(self.longest_pause, self.shortest_pause * float(2 ** min(failures - 1, 30)))

    @property
    def restored_overlap(self) -> int:
        """How many seconds before a cursor of an earlier process something may be new: the overlap, and what
        may have become visible in it since it was last read."""
        return int((self.overlap + self.overlap_interval).total_seconds())

    def flush_of_each(self, bindings: int) -> int:
        """Cursors that each of so many bindings writes at most in an interval."""
        return max(1, min(self.flush_at_most, self.flush_in_all // bindings))


DEFAULTS: Final = Settings()
