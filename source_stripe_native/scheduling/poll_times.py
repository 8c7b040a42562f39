"""When the lists of an account are polled: soon after something happened, then ever more rarely. Pure.

find  poll   poll         poll                     poll
  |-----|------|------------|------------------------|----  ...  once an hour
"""

from collections.abc import Callable

from source_stripe_native.settings import DEFAULTS, Settings


class PollTimes:
    """When the lists of one binding are polled, account by account. Times are Unix seconds by Stripe's clock.

    A list is read at the latest when it has waited as long as it had been quiet at its last reading: each
    wait is twice as long as the one before, up to `Settings.longest_poll_wait`. A find in the list starts
    again from the interval. So does any event of the account, but for events alone no list is read more
    often than once per `Settings.active_poll_wait`. The binding's cursor stays where it was meanwhile: after
    a restart it says how long the list has waited. In an account that `is_trusted`, whose events posts
    announce, the longest wait is `Settings.trusted_poll_wait`."""

    def __init__(
        self, settings: Settings = DEFAULTS, is_trusted: Callable[[str], bool] = lambda _: False
    ) -> None:
        self._longest = settings.longest_poll_wait.total_seconds()
        self._longest_trusted = settings.trusted_poll_wait.total_seconds()
        self._is_trusted = is_trusted
        self._active = settings.active_poll_wait.total_seconds()
        self._finds: dict[str, int] = {}
        self._events: dict[str, int] = {}

    def record_find(self, account_id: str, at: int) -> None:
        """Records that the reading up to `at` found something in the list."""
        self._finds[account_id] = at

    def record_events(self, account_id: str, at: int) -> None:
        """Records that the account had events before `at`, in its last window."""
        self._events[account_id] = at

    def is_due(self, account_id: str, cursor: int, horizon: int) -> bool:
        """Whether a list that was read up to `cursor` is to be read up to `horizon`."""
        longest = self._longest_trusted if self._is_trusted(account_id) else self._longest
        after_find = self._quiet(self._finds, account_id, cursor, longest)
        after_events = max(self._active, self._quiet(self._events, account_id, cursor, longest))
        return horizon - cursor >= min(longest, after_find, after_events)

    def _quiet(self, last: dict[str, int], account_id: str, cursor: int, longest: float) -> float:
        """How long nothing had happened at `cursor`. What happened too long ago to matter is forgotten."""
        at = last.get(account_id)
        if at is None or cursor - at >= longest:
            last.pop(account_id, None)
            return longest
        return max(0, cursor - at)
