"""Whatever fails, and wherever the connector is killed, the last state of every object is captured."""

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.soak import Case, Process, Session, Tally, run
from tests.test_streams import ALL

CASES = 200

SESSIONS = st.builds(
    Session,
    checkpoints=st.integers(1, 8),
    chance=st.sampled_from([0.0, 0.05, 0.2]),
    loses=st.sampled_from([False] * 7 + [True]),
    changes=st.integers(0, 8),
    pause=st.sampled_from([0, 0, 1, 7, 45]),
)


def cases(first: tuple[str, ...] = ()) -> st.SearchStrategy[Case]:
    return st.builds(
        Case,
        seed=st.integers(0, 2**32),
        streams=st.lists(st.sampled_from(ALL), min_size=1, max_size=5, unique=True).map(
            lambda others: tuple(dict.fromkeys((*first, *others)))
        ),
        sessions=st.lists(SESSIONS, max_size=3).map(tuple),
        connected=st.sampled_from([None, 0, 2]),
        objects=st.integers(0, 6),
        page_size=st.integers(1, 5),
        late=st.sampled_from([0, 30, 600]),
        faults=st.sampled_from([0.0, 0.01, 0.03]),
        window=st.sampled_from(["P1D", "PT1H", "PT2M"]),
    )


@pytest.mark.parametrize("part", range(4))
@settings(max_examples=CASES // 4, deadline=None)
@given(data=st.data())
async def test_every_objects_last_state_is_captured_whatever_fails(part: int, data: st.DataObject) -> None:
    # Each part has its share of the streams, so that over all of them every stream has its turn.
    share = ALL[part::4]
    case = data.draw(cases((data.draw(st.sampled_from(share)),)))
    tally = Tally()
    assert await run(case, tally) == [], tally
    event("connected accounts" if case.connected else "one account")
    event("a lost permission" if tally.counts["refused sessions"] else "all permissions")


@pytest.mark.parametrize("connected", [None, 1])
async def test_every_objects_last_state_is_captured_by_processes_that_are_killed(
    connected: int | None,
) -> None:
    sessions = (Session(1 << 30, chance=0.03, changes=20, pause=3),) * 4
    case = Case(7, tuple(ALL), sessions, connected=connected, objects=3, page_size=100, late=60, faults=0.004)
    tally = Tally()
    assert await run(case, tally, Process) == [], tally
    assert tally.counts["kills"] == 5
