"""Account readers: a few tasks that read one account after another, each when its turn has come."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable

from estuary_cdk.capture.task import Task

from source_stripe_native.flow.output import closing
from source_stripe_native.flow.waits import wait_any
from source_stripe_native.scheduling.pauses import CHANGES, Pauses, Unit
from source_stripe_native.scheduling.units import IDLE, Units


class AccountReaders:
    """The readers of the account poller, the notice reader or a binding's refreshes. `read` reads an account,
    and returns when it is due again, by the loop's clock: at `math.inf` where nothing is to be read.
    `grace_of` an account is how long others may go before it. A failure pauses the unit, which is the
    account's `stream` or a `part` of it, and adds the pause to the grace. `read` waits for answers alone and
    does not ask again for long, since other accounts wait for the reader."""

    def __init__(
        self,
        name: str,
        pauses: Pauses,
        readers: int,
        read: Callable[[str, Task], Awaitable[float]],
        grace_of: Callable[[str], float] = lambda _: 0.0,
        stream: str = CHANGES,
        part: str = "",
    ) -> None:
        self._name = name
        self._pauses = pauses
        self._readers = readers
        self._read = read
        self._grace_of = grace_of
        self._unit = functools.partial(Unit, stream, part=part)
        self._units = Units()
        self._wake = asyncio.Event()

    def add(self, account_ids: Iterable[str]) -> None:
        """Has the accounts read for the first time, as soon as may be."""
        at_once = IDLE.notify(asyncio.get_running_loop().time())
        for account_id in account_ids:
            self._units.set(account_id, at_once, self._grace_of(account_id))
        self._wake.set()

    def notify(self, account_id: str, time: float) -> None:
        """Has the account read from `time` on, unless it is due already, or paused."""
        self._units.set(account_id, self._units[account_id].notify(time))
        self._wake.set()

    def next_time(self, account_id: str) -> float:
        """From when on the account is to be read, infinity where it is idle."""
        return self._units[account_id].time

    def longest_wait(self) -> float:
        """The longest time, in seconds, for which an account has been due."""
        return self._units.longest_wait(asyncio.get_running_loop().time())

    async def run(self, task: Task) -> None:
        for number in range(self._readers):
            task.spawn_child(f"{self._name}.{number}", closing(self._read_accounts))

    async def _read_accounts(self, task: Task) -> None:
        clock, stopping, units = asyncio.get_running_loop().time, task.stopping.event, self._units
        while not stopping.is_set():
            now = clock()
            if (account_id := units.first(now)) is None:
                self._wake.clear()
                await wait_any(stopping, self._wake, at_most=units.next_ready_time() - now)
                continue
            unit = self._unit(account_id)
            units.set(account_id, units[account_id].begin(now, self._pauses.until_time(unit)))
            # Where nothing is due, ten thousand accounts would be looked at without a pause.
            await asyncio.sleep(0)
            if not units[account_id].is_running:
                continue
            pause = 0.0
            try:
                next_time = await self._read(account_id, task)
            except Exception as error:  # noqa: BLE001 - what ends the capture is raised again
                pause = await self._pauses.pause(unit, error)
                record = units[account_id].fail(clock() + pause)
            else:
                self._pauses.end(unit)
                record = units[account_id].end(clock(), next_time)
            units.set(account_id, record, self._grace_of(account_id) + pause)
            self._wake.set()
