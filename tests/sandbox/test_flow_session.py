"""`Capture` as tests drive it: transactions one by one, kills in between, and no process left behind."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from sandbox.flow.catalog import load_catalog
from sandbox.flow.errors import CatalogError, ConnectorFailed, ProtocolError
from sandbox.flow.session import Capture, Session
from sandbox.flow.transaction import Transaction
from tests.sandbox.fake_connector import alive, catalog, gone, written

Step = dict[str, Any]
CHECKPOINT: Step = {"checkpoint": {}}


async def validated(directory: Path, content: dict[str, Any], **options: Any) -> Capture:
    capture = Capture(load_catalog(written(directory, content)), **options)
    await capture.validate()
    return capture


async def first(session: Session, count: int) -> list[Transaction]:
    return [await anext(session) for _ in range(count)]


def ids(transactions: list[Transaction]) -> list[str]:
    return [document["id"] for transaction in transactions for _, document in transaction.documents]


@pytest.mark.parametrize("kills", [[1, 1, 1], [0, 2, 0], [3]])
async def test_nothing_is_lost_however_often_the_connector_is_killed(
    tmp_path: Path, kills: list[int]
) -> None:
    capture = await validated(tmp_path, catalog([{"count": [10, 2]}]))
    captured = []
    for transactions in kills:
        async with capture.session() as session:
            captured += ids(await first(session, transactions))
    assert capture.state == {"n": 2 * sum(kills)} if sum(kills) else {}
    async with capture.session() as session:
        captured += ids(await first(session, 5 - sum(kills)))
    assert captured == [str(n) for n in range(10)]


async def test_checkpoints_that_were_not_given_out_are_read_again(tmp_path: Path) -> None:
    capture = await validated(tmp_path, catalog([{"count": [6, 2]}]))
    async with capture.session(delay=3600) as session:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(session), 0.3)
    assert capture.state == {}
    async with capture.session() as session:
        assert ids(await first(session, 3)) == ["0", "1", "2", "3", "4", "5"]


async def test_transaction_that_was_interrupted_goes_on_where_it_was(tmp_path: Path) -> None:
    steps: list[Step] = [{"doc": {"id": "a"}}, {"sleep": 0.3}, CHECKPOINT]
    capture = await validated(tmp_path, catalog(steps))
    async with capture.session() as session:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(session), 0.05)
        assert ids(await first(session, 1)) == ["a"]


async def test_session_that_is_killed_gives_out_nothing_more(tmp_path: Path) -> None:
    capture = await validated(tmp_path, catalog([{"count": [6, 2]}]))
    async with capture.session() as session:
        await anext(session)
        await session.kill()
        assert [transaction async for transaction in session] == []
        assert session.pid is None
    assert capture.state == {"n": 2}


async def test_connector_that_someone_else_kills_has_failed(tmp_path: Path) -> None:
    capture = await validated(tmp_path, catalog([CHECKPOINT]))
    async with capture.session() as session:
        await anext(session)
        assert session.pid is not None
        os.kill(session.pid, signal.SIGKILL)
        with pytest.raises(ConnectorFailed, match="was killed by SIGKILL"):
            await anext(session)


async def test_what_a_connector_started_ends_with_it(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    steps = [{"child": str(pids)}, CHECKPOINT]
    before = dict.fromkeys(("spec", "validate", "apply"), steps[:1])
    capture = await validated(tmp_path, catalog(steps, before=before))
    async with capture.session() as session:
        await anext(session)
        started = [int(line) for line in pids.read_text().splitlines()]
        assert gone(started[:-1])
        assert alive(started[-1])
    assert gone(started[-1:])


async def test_open_that_fails_leaves_no_process_behind(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    capture = await validated(tmp_path, catalog(opens="captured", pids=str(pids)))
    with pytest.raises(ProtocolError, match="answered open with"):
        async with capture.session():
            pass
    assert gone([int(line) for line in pids.read_text().splitlines()])


async def test_state_that_is_given_out_is_a_copy(tmp_path: Path) -> None:
    given = {"a": {"b": 1}}
    capture = await validated(tmp_path, catalog(), state=given)
    capture.state["a"]["b"] = given["a"]["b"] = 2
    assert capture.state == {"a": {"b": 1}}


async def test_shard_that_is_split_goes_on_as_two_from_a_copy_of_its_state(tmp_path: Path) -> None:
    requests = tmp_path / "requests"
    content = catalog([{"count": [6, 2]}], requests=str(requests))
    capture = await validated(tmp_path, content, keys=(100, 199))
    async with capture.session() as session:
        await first(session, 1)
    for half in capture.split():
        async with half.session() as session:
            await first(session, 1)
    opened = [json.loads(line)["open"] for line in requests.read_text().splitlines() if '"open"' in line]
    keys = [(each["range"]["keyBegin"], each["range"]["keyEnd"]) for each in opened]
    assert keys == [(100, 199), (100, 149), (150, 199)]
    assert [each["state"] for each in opened] == [{}, {"n": 2}, {"n": 2}]
    assert capture.state == {"n": 2}


async def test_shard_of_a_single_key_cannot_be_split(tmp_path: Path) -> None:
    capture = Capture(load_catalog(written(tmp_path, catalog())), keys=(7, 7))
    with pytest.raises(ValueError, match="cannot be split"):
        capture.split()


async def test_log_is_handed_over_as_it_is_written(tmp_path: Path) -> None:
    logs: list[str] = []
    steps = [{"log": ["DEBUG", "one"]}, CHECKPOINT, {"log": ["ERROR", "two"]}, {"exit": 0}]
    capture = await validated(
        tmp_path, catalog(steps), on_log=lambda log: logs.append(f"{log.level} {log.message}")
    )
    async with capture.session(timeout=0.3) as session:
        async for _ in session:
            break
        await anext(session)
    assert logs[:3] == ["debug one", "error two", "debug one"]


async def test_session_needs_a_validated_capture(tmp_path: Path) -> None:
    capture = Capture(load_catalog(written(tmp_path, catalog())))
    with pytest.raises(RuntimeError, match=r"validate\(\) first"):
        async with capture.session():
            pass


@pytest.mark.parametrize(
    ("bindings", "told"),
    [
        ([("Prices", "acmeCo/Gone")], "acmeCo/Gone, which is in no file"),
        ([("Prices", "acmeCo/Prices")] * 2, "more than one binding of Prices"),
        ([(7, "acmeCo/Prices")], "must have a string at each of /name"),
    ],
)
async def test_bindings_that_cannot_run_are_refused(
    tmp_path: Path, bindings: list[tuple[Any, str]], told: str
) -> None:
    content = catalog()
    content["captures"]["acmeCo/fake"]["bindings"] = [
        {"resource": {"name": name}, "target": target} for name, target in bindings
    ]
    with pytest.raises(CatalogError, match=told):
        await validated(tmp_path, content)


async def test_a_million_bytes_in_one_line_are_read(tmp_path: Path) -> None:
    capture = await validated(tmp_path, catalog([{"long_doc": 1_000_000}, CHECKPOINT]))
    async with capture.session() as session:
        [transaction] = await first(session, 1)
    assert transaction.documents == [(0, {"id": "a", "text": "x" * 1_000_000})]
