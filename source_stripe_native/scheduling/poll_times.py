"""When an account's lists are polled: soon after something happened, then ever more rarely. Pure.

    find  poll   poll         poll                     poll
      |-----|------|------------|------------------------|----  ...  once an hour

A list without events is read at the latest when it has waited as long as it had been quiet at its last
reading: each wait is twice as long as the one before, up to `Settings.longest_poll_wait`. A find in the list
starts again from the interval. So does any event of the account, but for events alone no list is read more
often than once per `Settings.active_poll_wait`.

The binding's cursor stays where it was meanwhile. Nothing is lost by a wait, and after a restart the cursor
tells how long the list has waited. All times are Unix seconds by Stripe's clock.
"""

from source_stripe_native.settings import DEFAULTS, Settings


class PollTimes:
    """The lists of one binding, account by account."""

    def __init__(self, settings: Settings = DEFAULTS) -> None:
        self._longest = settings.longest_poll_wait.total_seconds()
        self._active = settings.active_poll_wait.total_seconds()
        self._finds: dict[str, int] = {}
        self._events: dict[str, int] = {}

    def note_find(self, account_id: str, at: int) -> None:
        """Says that the reading up to `at` found something in the list."""
        self._finds[account_id] = at

    def note_events(self, account_id: str, at: int) -> None:
        """Says that the account had events before `at`, in its last window."""
        self._events[account_id] = at

    def is_due(self, account_id: str, cursor: int, horizon: int) -> bool:
        """Whether a list that was read up to `cursor` is to be read up to `horizon`."""
        after_find = self._quiet(self._finds, account_id, cursor)
        after_events = max(self._active, self._quiet(self._events, account_id, cursor))
        return horizon - cursor >= min(self._longest, after_find, after_events)

    def _quiet(self, last: dict[str, int], account_id: str, cursor: int) -> float:
        """How long nothing had happened at `cursor`. What happened too long ago to matter is forgotten."""
        at = last.get(account_id)
        if at is not None and cursor - at >= self._longest:
            del last[account_id]
            at = None
        return self._longest if at is None else max(0, cursor - at)
