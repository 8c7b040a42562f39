"""Postponed objects: what Stripe failed to show for now, while it shows the others of the stream.

Rule: the failure of one object holds up no other. The object is in the state before a cursor passes it, and
is read again after a minute, then ever more rarely, once an hour at least. Limit:
`Settings.postponed_at_most` objects of a stream and account. Beyond that the failure is the stream's, which
is paused.

    snapshot    {postponed/account_id/subject: {updated_at, last_count, last_digest}}

`last_count` is the number of failures and `updated_at` the time of the last one. A subject is what changed,
as text (see `events.subjects.Subject`).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from estuary_cdk.capture.common import ResourceState

from source_stripe_native.protocols import WriteEntries
from source_stripe_native.settings import Settings
from source_stripe_native.state.parts import Json

PREFIX: Final = "postponed"

Entry = ResourceState.Snapshot


@dataclass
class Postponed:
    """The postponed objects of one stream, by account and subject. Made when its binding opens, with what the
    state has of these accounts. `write` writes their entries."""

    settings: Settings
    write: WriteEntries
    on_added: Callable[[str], None] = lambda _: None
    """Called with an account once something of it has failed. Set by a scheduler: the pages of a refresh are
    read outside of the account's turns."""
    _accounts: dict[str | None, dict[str, Entry]] = field(default_factory=dict)

    def restore(self, state: ResourceState, account_ids: Collection[str]) -> Json:
        """Takes its entries out of the state. Returns the merge patch that removes those of other
        accounts."""
        patch = Json()
        entries = state.snapshot if isinstance(state.snapshot, dict) else {}
        for key in [key for key in entries if key.startswith(f"{PREFIX}/")]:
            _, account_id, subject = key.split("/", 2)
            entry = entries.pop(key)
            if entry is None or account_id not in account_ids:
                patch[key] = None
            else:
                self._accounts.setdefault(account_id, {})[subject] = entry
        return patch

    async def add(self, account_id: str | None, subject: str, now: datetime) -> int:
        """Postpones what has failed `now`. Returns how often it has failed, 0 where too much is postponed."""
        failed = self._accounts.setdefault(account_id, {})
        times = failed[subject].last_count + 1 if subject in failed else 1
        # What is to be read again without a failure counts for nothing.
        failures = sum(entry.last_count > 0 for entry in failed.values())
        if times == 1 and failures >= self.settings.postponed_at_most:
            return 0
        await self.write(self._record(account_id, [subject], times, now))
        if account_id is not None:
            self.on_added(account_id)
        return times

    def read_again(self, account_id: str | None, subjects: Collection[str]) -> Json:
        """Postpones what is to be read again as soon as may be, without a failure. Returns the merge patch of
        its entries."""
        return self._record(account_id, subjects, 0, datetime.fromtimestamp(0, tz=UTC))

    async def keep(self, account_id: str | None, subjects: Collection[str]) -> None:
        """Postpones in the same way those of the subjects that are not postponed yet."""
        if new := {*subjects} - self._accounts.get(account_id, {}).keys():
            await self.write(self.read_again(account_id, new))

    def _record(self, account_id: str | None, subjects: Collection[str], times: int, at: datetime) -> Json:
        entry = Entry(updated_at=at, last_count=times, last_digest="")
        self._accounts.setdefault(account_id, {}).update(dict.fromkeys(subjects, entry))
        written = entry.model_dump(mode="json")
        return {f"{PREFIX}/{account_id}/{subject}": written for subject in subjects}

    def recover(self, account_id: str | None, subjects: Collection[str]) -> None:
        """Reports that Stripe shows these again: they count as failing no longer. They are removed only after
        the checkpoint of their documents, and until then others may fail."""
        failed = self._accounts.get(account_id, {})
        failed |= {subject: failed[subject].model_copy(update={"last_count": 0}) for subject in subjects}

    async def remove(self, account_id: str | None, subjects: Collection[str]) -> None:
        """Forgets what was read again. To be called after the checkpoint of its documents."""
        failed = self._accounts.get(account_id, {})
        for subject in subjects:
            failed.pop(subject, None)
        if not failed:
            self._accounts.pop(account_id, None)
        await self.write({f"{PREFIX}/{account_id}/{subject}": None for subject in subjects})

    @property
    def account_ids(self) -> list[str]:
        """The accounts of which something is postponed."""
        return [account_id for account_id in self._accounts if account_id is not None]

    def due(self, account_id: str | None, now: datetime) -> list[str]:
        """What is to be read again."""
        failed = self._accounts.get(account_id, {})
        return [subject for subject, entry in failed.items() if self._due_at(entry) <= now]

    def wait(self, account_id: str | None, now: datetime) -> timedelta | None:
        """The time until something of the account is due, None where nothing is postponed."""
        failed = self._accounts.get(account_id)
        return min(map(self._due_at, failed.values())) - now if failed else None

    def _due_at(self, entry: Entry) -> datetime:
        return entry.updated_at + self.settings.pause_after(entry.last_count)
