"""The cursors of very many connected accounts, and which of them are still to be written. Pure.

The bindings of a capture number its accounts alike. A cursor is a whole second, of four bytes:

    numbers        acct_1 = 0    acct_2 = 1    acct_3 = 2
    Charges.inc    12:00:07      12:00:07      12:00:09
    Prices.inc     12:00:07      12:00:07      -

Rule: to others it is a mapping from accounts to parts of a state, which are made when they are asked for, and
which a loop copies before it changes them in place. A fraction of a second is left out, as it is where the
cursor is used (state/windows.py).
"""

from array import array
from collections.abc import Collection, Container, Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from typing import Any, Final

from source_stripe_native.state.parts import Incremental, cursor_at, cursor_time
from source_stripe_native.state.windows import floor

END: Final = 1 << 32
"""The second, in Unix time, from which on four bytes are too few."""


class AccountNumbers(dict[str, int]):
    """The accounts of a capture by id, numbered in the order in which they are first asked for."""

    def __init__(self, account_ids: Iterable[str] = ()) -> None:
        self.ids = list(account_ids)
        super().__init__(zip(self.ids, range(len(self.ids)), strict=True))

    def __missing__(self, account_id: str) -> int:
        self[account_id] = number = len(self.ids)
        self.ids.append(account_id)
        return number

    def numbers_of(self, account_ids: Sequence[str]) -> Sequence[int]:
        """The numbers of accounts, which are mostly in the order in which they were numbered."""
        first = self[account_ids[0]] if account_ids else 0
        in_row = range(first, first + len(account_ids))
        if self.ids[in_row.start : in_row.stop] == account_ids:
            return in_row
        return array("I", map(self.__getitem__, account_ids))


@dataclass
class Seconds:
    """A second of each account, in Unix time. Zero stands for none."""

    numbers: AccountNumbers
    seconds: "array[int]"

    def get(self, account_id: str | None) -> int:
        number = self.numbers.get(account_id, END)  # type: ignore[arg-type]  # a single account has no id
        return self.seconds[number] if number < len(self.seconds) else 0

    def set(self, account_id: str, second: int) -> None:
        number = self.numbers[account_id]
        if (missing := number + 1 - len(self.seconds)) > 0:
            self.seconds.frombytes(bytes(self.seconds.itemsize * missing))
        self.seconds[number] = second

    def set_all(self, numbers: Sequence[int], seconds: "array[int]") -> None:
        """Sets those of accounts that have a place here, by their numbers."""
        if isinstance(numbers, range):
            self.seconds[numbers.start : numbers.stop] = seconds
            return
        for number, second in zip(numbers, seconds, strict=True):
            self.seconds[number] = second

    def __iter__(self) -> Iterator[str]:
        """The accounts that have one."""
        return compress(self.numbers.ids, self.seconds)


class Cursors(MutableMapping[str, Incremental]):
    """The cursors of one binding by account. Made of a capture's state when it is read or opened."""

    def __init__(self, seconds: Seconds) -> None:
        self._seconds = seconds
        self._dirty = bytearray()
        """Of each account by number, whether its cursor moved without a document since it was last
        written."""
        self._turn = 0
        """The number of the account from which on dirty cursors are written next."""

    @classmethod
    def of(cls, state: Any, numbers: AccountNumbers) -> "Cursors":
        """The cursors of a `ResourceState`, which has them from now on."""
        if not isinstance(state.inc, cls):
            parts, state.inc = state.inc or {}, cls(Seconds(numbers, array("I")))
            state.inc.update((account_id, inc) for account_id, inc in parts.items() if inc is not None)
        return state.inc

    def __getitem__(self, account_id: str) -> Incremental:
        if second := self._seconds.get(account_id):
            return cursor_at(second)
        raise KeyError(account_id)

    def __setitem__(self, account_id: str, inc: Incremental) -> None:
        self.move(account_id, max(1, min(floor(cursor_time(inc.cursor)), END - 1)))

    def __delitem__(self, account_id: str) -> None:
        self.move(account_id, 0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._seconds)

    def __len__(self) -> int:
        return len(self._seconds.seconds) - self._seconds.seconds.count(0)

    def has_just(self, account_ids: Sequence[str]) -> bool:
        """Whether these accounts have cursors, and no others have any. False too where another binding has
        more accounts, so that telling would take longer."""
        numbers, seconds = self._seconds.numbers.numbers_of(account_ids), self._seconds.seconds
        has_places = len(seconds) == len(self._seconds.numbers)
        return has_places and len(self) == len(numbers) and all(map(seconds.__getitem__, numbers))

    def second(self, account_id: str) -> int:
        """The cursor in Unix time, zero where there is none."""
        return self._seconds.get(account_id)

    def seconds(self) -> Seconds:
        """All cursors as whole seconds, as they are now."""
        return Seconds(self._seconds.numbers, self._seconds.seconds[:])

    def oldest(self, but_for: Collection[Container[str]] = ()) -> str | None:
        """The account with the oldest cursor, of those that are in none of some sets."""
        free = (
            (second, account_id)
            for second, account_id in zip(self._seconds.seconds, self._seconds.numbers.ids, strict=False)
            if second and not (but_for and any(account_id in some for some in but_for))
        )
        return min(free, default=(0, None))[1]

    def beyond(self, second: int) -> list[str]:
        """The accounts whose cursor lies after a second."""
        return [*compress(self._seconds.numbers.ids, (second < each for each in self._seconds.seconds))]

    def move(self, account_id: str, second: int) -> None:
        self._seconds.set(account_id, second)

    @property
    def is_dirty(self) -> bool:
        return 1 in self._dirty

    def set_dirty(self, account_id: str, *, is_dirty: bool) -> None:
        numbers = self._seconds.numbers
        if (missing := len(numbers) - len(self._dirty)) > 0:
            self._dirty += bytes(missing)
        self._dirty[numbers[account_id]] = is_dirty

    def take_dirty(self, at_most: int | None, but_for: Container[str]) -> dict[str, Incremental]:
        """The dirty cursors, which count as written from now on. Where there are more than `at_most`, the
        accounts have their turns. Those of some accounts stay dirty."""
        ids = self._seconds.numbers.ids
        dirty = compress(range(len(self._dirty)), self._dirty)
        in_turn = sorted(dirty, key=lambda number: number < self._turn)
        taken = [*islice((number for number in in_turn if ids[number] not in but_for), at_most)]
        for number in taken:
            self._dirty[number] = 0
            self._turn = number + 1
        return {account_id: self[account_id] for account_id in sorted(ids[number] for number in taken)}
