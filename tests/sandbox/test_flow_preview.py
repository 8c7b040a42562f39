"""`preview` against a connector that does as the test says: what is printed, and how it ends."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result

from sandbox.__main__ import main
from tests.sandbox.fake_connector import SCHEMA, catalog, written

Step = dict[str, Any]
UUID = "DocUUIDPlaceholder-329Bb50aa48EAa9ef"


@pytest.fixture(autouse=True)
def _default_log_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOG_LEVEL", raising=False)


def preview(directory: Path, content: dict[str, Any], *flags: str) -> Result:
    return CliRunner().invoke(main, ["preview", "--source", str(written(directory, content)), *flags])


def lines(result: Result) -> list[Any]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def ids(result: Result) -> list[str]:
    return [document["id"] for _, document in lines(result)]


def doc(name: str, **more: Any) -> Step:
    return {"doc": {"id": name, **more}}


CHECKPOINT: Step = {"checkpoint": {}}


def test_document_is_printed_compact_and_sorted_with_a_placeholder_for_its_uuid(tmp_path: Path) -> None:
    steps = [{"doc": {"z": {"b": 1, "a": [2.5, None]}, "id": "ä", "_meta": {"op": "c"}}}, CHECKPOINT]
    result = preview(tmp_path, catalog(steps), "--sessions", "1")
    meta = f'"_meta":{{"op":"c","uuid":"{UUID}"}}'
    assert result.stdout == f'["acmeCo/Prices",{{{meta},"id":"ä","z":{{"a":[2.5,null],"b":1}}}}]\n'


def test_document_without_meta_gets_one(tmp_path: Path) -> None:
    result = preview(tmp_path, catalog([doc("a"), CHECKPOINT]), "--sessions", "1")
    assert lines(result) == [["acmeCo/Prices", {"_meta": {"uuid": UUID}, "id": "a"}]]


def test_all_is_quiet_on_stderr_when_all_is_well(tmp_path: Path) -> None:
    steps = [{"log": ["INFO", "reading"]}, doc("a"), CHECKPOINT]
    result = preview(tmp_path, catalog(steps), "--sessions", "1")
    assert (result.exit_code, result.stderr) == (0, "")


def test_transaction_is_ordered_by_binding_and_then_by_key(tmp_path: Path) -> None:
    content = catalog(
        [
            {"doc_of": [1, {"id": "a"}]},
            *({"doc_of": [0, {"id": key}]} for key in ("b", 10, True, "a", None, 9, "B", False, 9.5)),
            CHECKPOINT,
        ],
        answers={"validate": {"bindings": [{"resourcePath": ["Prices"]}, {"resourcePath": ["Plans"]}]}},
    )
    content["collections"]["acmeCo/Prices"]["schema"] = True
    content["collections"]["acmeCo/Plans"] = {"schema": True, "key": ["/id"]}
    content["captures"]["acmeCo/fake"]["bindings"].append(
        {"resource": {"name": "Plans"}, "target": "acmeCo/Plans"}
    )
    result = preview(tmp_path, content, "--sessions", "1")
    assert [(collection[7:], document["id"]) for collection, document in lines(result)] == [
        *(("Prices", key) for key in (None, False, True, 9, 9.5, 10, "B", "a", "b")),
        ("Plans", "a"),
    ]


def test_first_and_last_document_of_a_key_are_printed_within_a_transaction(tmp_path: Path) -> None:
    steps = [doc("a", amount=1), doc("b"), doc("a", amount=2, old=True), doc("a", amount=3), CHECKPOINT]
    result = preview(tmp_path, catalog(steps), "--sessions", "1")
    assert [document.get("amount") for _, document in lines(result)] == [1, 3, None]
    assert "old" not in lines(result)[1][1]


def test_deletion_is_merged_into_the_second_document_and_not_into_the_first(tmp_path: Path) -> None:
    changes = [doc("a", amount=each, _meta={"op": "u"}) for each in (1, 2)]
    deletion = doc("a", _meta={"op": "d"})
    first, deleted = {"op": "u", "uuid": UUID}, {"op": "d", "uuid": UUID}
    result = preview(tmp_path, catalog([changes[0], deletion, CHECKPOINT]), "--sessions", "1")
    assert [document for _, document in lines(result)] == [
        {"_meta": first, "amount": 1, "id": "a"},
        {"_meta": deleted, "id": "a"},
    ]
    result = preview(tmp_path, catalog([*changes, deletion, CHECKPOINT]), "--sessions", "1")
    assert [document for _, document in lines(result)] == [
        {"_meta": first, "amount": 1, "id": "a"},
        {"_meta": deleted, "amount": 2, "id": "a"},
    ]


def test_document_that_comes_again_after_its_deletion_replaces_it(tmp_path: Path) -> None:
    steps = [doc("a", old=1), doc("a", _meta={"op": "d"}), doc("a", new=1), CHECKPOINT]
    result = preview(tmp_path, catalog(steps), "--sessions", "1")
    assert [document for _, document in lines(result)] == [
        {"_meta": {"uuid": UUID}, "id": "a", "old": 1},
        {"_meta": {"uuid": UUID}, "id": "a", "new": 1},
    ]


def test_bindings_of_one_collection_publish_a_document_each_and_make_one_row(tmp_path: Path) -> None:
    steps = [{"doc_of": [1, {"id": "a", "amount": 2}]}, doc("a", amount=1), CHECKPOINT]
    content = catalog(steps)
    content["captures"]["acmeCo/fake"]["bindings"].append(
        {"resource": {"name": "Plans"}, "target": "acmeCo/Prices"}
    )
    result = preview(tmp_path, content, "--sessions", "1")
    assert [document["amount"] for _, document in lines(result)] == [1, 2]
    file = tmp_path / "x.duckdb"
    assert preview(tmp_path, content, "--sessions", "1", "--into", str(file)).exit_code == 0
    with duckdb.connect(str(file), read_only=True) as database:
        assert database.execute("SELECT id, amount FROM Prices").fetchall() == [("a", 2)]


def test_key_that_a_document_lacks_is_the_default_of_the_schema(tmp_path: Path) -> None:
    content = catalog([{"doc": {"amount": 1}}, doc("z"), doc("a"), {"doc": {"amount": 2}}, CHECKPOINT])
    content["collections"]["acmeCo/Prices"]["schema"] = {"properties": {"id": {"default": "m"}}}
    result = preview(tmp_path, content, "--sessions", "1")
    assert [document.get("id", document.get("amount")) for _, document in lines(result)] == ["a", 1, 2, "z"]


def test_redacted_values_are_neither_printed_nor_shown_in_an_error(tmp_path: Path) -> None:
    properties = {
        "email": {"type": "string", "maxLength": 20, "redact": {"strategy": "sha256"}},
        "phone": {"redact": {"strategy": "block"}},
    }
    content = catalog(
        [doc("a", email="a@example.com", phone="1"), CHECKPOINT, doc("b", email="b" * 99), CHECKPOINT]
    )
    content["captures"]["acmeCo/fake"]["redactSalt"] = "c2FsdA=="
    content["collections"]["acmeCo/Prices"]["schema"] = {"properties": properties}
    result = preview(tmp_path, content)
    assert result.exit_code == 1
    digest = hashlib.sha256(b"salta@example.com").hexdigest()
    assert json.loads(result.stdout)[1] == {"_meta": {"uuid": UUID}, "id": "a", "email": f"sha256:{digest}"}
    assert "is invalid at /email: " in result.stderr
    assert "bbb" not in result.stderr


def test_without_a_delay_each_checkpoint_is_a_transaction(tmp_path: Path) -> None:
    steps = [doc("a", amount=1), CHECKPOINT, doc("a", amount=2), CHECKPOINT]
    result = preview(tmp_path, catalog(steps), "--sessions", "2")
    assert [document["amount"] for _, document in lines(result)] == [1, 2]


def test_delay_gathers_checkpoints_into_one_transaction(tmp_path: Path) -> None:
    steps = [
        doc("a", amount=1),
        CHECKPOINT,
        doc("b"),
        CHECKPOINT,
        doc("a", amount=2),
        CHECKPOINT,
        {"exit": 0},
    ]
    result = preview(tmp_path, catalog(steps), "--sessions", "1", "--delay", "1h")
    assert [document.get("amount") for _, document in lines(result)] == [1, 2, None]


def test_documents_without_a_checkpoint_are_not_printed(tmp_path: Path) -> None:
    steps = [doc("a"), CHECKPOINT, doc("b")]
    assert ids(preview(tmp_path, catalog(steps), "--timeout", "300ms")) == ["a"]


def test_preview_ends_well_when_the_connector_falls_silent(tmp_path: Path) -> None:
    assert ids(preview(tmp_path, catalog([]), "--timeout", "100ms")) == []


def test_silence_ends_a_transaction_before_its_delay_is_over(tmp_path: Path) -> None:
    steps = [doc("a"), CHECKPOINT]
    assert ids(preview(tmp_path, catalog(steps), "--timeout", "300ms", "--delay", "1h")) == ["a"]


def test_failure_is_told_by_the_last_log_line_and_takes_the_open_transaction_with_it(tmp_path: Path) -> None:
    steps = [
        doc("a"),
        CHECKPOINT,
        doc("b"),
        {"log": ["INFO", "reading on"]},
        {"error": "Task capture.Prices: no such price"},
    ]
    result = preview(tmp_path, catalog(steps))
    assert result.exit_code == 1
    assert [json.loads(line)[1]["id"] for line in result.stdout.splitlines()] == ["a"]
    assert result.stderr == "ERROR Task capture.Prices: no such price\n"


def test_failure_takes_the_checkpoints_of_a_delay_that_is_not_over(tmp_path: Path) -> None:
    result = preview(tmp_path, catalog([doc("a"), CHECKPOINT, {"error": "gone"}]), "--delay", "1h")
    assert (result.exit_code, result.stdout) == (1, "")


def test_traceback_of_an_interpreter_is_shown_and_its_last_line_is_the_error(tmp_path: Path) -> None:
    steps: list[Step] = [{"stderr": "Traceback:\n  File x\nKeyError: 'id'"}, {"exit": 1}]
    result = preview(tmp_path, catalog(steps))
    assert result.stderr == "WARN  Traceback:\nWARN    File x\nWARN  KeyError: 'id'\nError: KeyError: 'id'\n"


@pytest.mark.parametrize("verb", ["spec", "validate", "apply"])
def test_failure_before_open_is_told_in_the_same_way(tmp_path: Path, verb: str) -> None:
    result = preview(tmp_path, catalog(before={verb: [{"error": f"no {verb} today"}]}))
    assert result.exit_code == 1
    assert result.stderr == f"ERROR no {verb} today\n"


def test_document_that_its_schema_forbids_ends_the_run(tmp_path: Path) -> None:
    steps = [doc("a"), CHECKPOINT, {"doc": {"id": "b", "amount": "much"}}, CHECKPOINT]
    result = preview(tmp_path, catalog(steps))
    assert result.exit_code == 1
    assert [json.loads(line)[1]["id"] for line in result.stdout.splitlines()] == ["a"]
    told = 'the document with key ["b"] is invalid at /amount: "much" is not of type "integer"'
    assert result.stderr == f"Error: acmeCo/Prices: {told}\n"


SPEC_AGAIN = json.dumps({"spec": {"resourcePathPointers": ["/name"]}})
LINES = {
    "hello": "no response: hello",
    '{"captured":{"binding":1,"doc":{"id":"a"}}}': "out of place: captured",
    '{"captured":{"binding":0,"doc":"a"}}': "out of place: captured",
    '{"captured":{"binding":0,"doc":{"id":{}}}}': "acmeCo/Prices: the key at /id must be a string",
    '{"opened":{}}': "out of place: opened",
    '{"checkpoint":{"state":{"updated":"a"}}}': "whose state is no object",
}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (catalog([{"exit": 3}]), "exited with status 3"),
        (catalog(answers={"spec": {"protocol": 1}}), "no resourcePathPointers"),
        (catalog(before={"spec": [{"line": SPEC_AGAIN}]}), "answered spec with ['spec', 'spec']"),
        (
            catalog(answers={"validate": {"bindings": [{"resourcePath": ["Plans"]}]}}),
            "[['Plans']], where [['Prices']] were given",
        ),
        *((catalog([{"line": line}]), told) for line, told in LINES.items()),
    ],
)
def test_answer_that_breaks_the_protocol_ends_the_run(tmp_path: Path, content: Any, told: str) -> None:
    result = preview(tmp_path, content)
    assert result.exit_code == 1
    assert told in result.stderr


def test_first_binding_need_not_be_named(tmp_path: Path) -> None:
    steps = [{"line": '{"captured":{"doc":{"id":"a"}}}'}, CHECKPOINT]
    assert ids(preview(tmp_path, catalog(steps), "--sessions", "1")) == ["a"]


def test_sessions_resume_from_the_state_that_the_one_before_came_to(tmp_path: Path) -> None:
    first = [doc("a"), {"checkpoint": {"x": 1}}, doc("b"), {"checkpoint": {"run": 1, "y": 1}}, doc("c")]
    second: list[Step] = [{"state": "opened"}, {"checkpoint": {"x": None}}]
    result = preview(tmp_path, catalog(first, second), "--sessions", "2,1")
    assert ids(result) == ["a", "b", "opened"]
    assert lines(result)[-1][1]["state"] == {"run": 1, "x": 1, "y": 1}


def test_each_session_applies_and_opens_in_a_process_of_its_own(tmp_path: Path) -> None:
    requests = tmp_path / "requests"
    content = catalog([CHECKPOINT], requests=str(requests))
    assert lines(preview(tmp_path, content, "--sessions", "1,1")) == []
    verbs = [next(iter(json.loads(line))) for line in requests.read_text().splitlines()]
    assert verbs == ["spec", "validate", "apply", "open", "apply", "open"]


def test_initial_state_is_what_the_first_session_opens_with(tmp_path: Path) -> None:
    steps = [{"state": "opened"}, CHECKPOINT]
    result = preview(tmp_path, catalog(steps), "--sessions", "1", "--initial-state", '{"x":[1]}')
    assert lines(result)[0][1]["state"] == {"x": [1]}


def test_connector_that_exits_with_0_is_started_again_with_its_state(tmp_path: Path) -> None:
    runs = (
        [doc("a"), {"checkpoint": {"run": 1}}, {"exit": 0}],
        [{"state": "opened"}, CHECKPOINT],
    )
    result = preview(tmp_path, catalog(*runs), "--sessions", "2")
    assert ids(result) == ["a", "opened"]
    assert lines(result)[-1][1]["state"] == {"run": 1}


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize(
    ("step", "told"),
    [
        (doc("lost"), "exited before the checkpoint of its last 1 documents"),
        ({"part": '{"checkpoint":{}}'}, 'exited in the middle of a line: {"checkpoint":{}}'),
        ({"part": '{"captured":{"bin'}, 'exited in the middle of a line: {"captured":{"bin'),
    ],
)
def test_connector_that_exits_in_the_middle_has_failed_whatever_it_exits_with(
    tmp_path: Path, step: Step, told: str, code: int
) -> None:
    steps = [doc("a"), {"checkpoint": {"run": 1}}, step, {"exit": code}]
    result = preview(tmp_path, catalog(steps, []), "--timeout", "5s")
    assert result.exit_code == 1
    assert [json.loads(line)[1]["id"] for line in result.stdout.splitlines()] == ["a"]
    assert (told if code == 0 else "exited with status 3") in result.stderr


def test_connector_that_exits_with_0_ends_the_delay(tmp_path: Path) -> None:
    steps = [doc("a"), CHECKPOINT, {"exit": 0}]
    assert ids(preview(tmp_path, catalog(steps), "--sessions", "1", "--delay", "1h")) == ["a"]


def test_connector_that_exited_is_not_started_again_before_the_interval_has_passed(tmp_path: Path) -> None:
    content = catalog([doc("a"), {"checkpoint": {"run": 1}}, {"exit": 0}], [doc("b"), CHECKPOINT])
    content["captures"]["acmeCo/fake"]["interval"] = "1h"
    assert ids(preview(tmp_path, content, "--timeout", "300ms")) == ["a"]


def test_checkpoints_are_acknowledged_only_if_the_connector_asked_for_it(tmp_path: Path) -> None:
    steps = [doc("a"), CHECKPOINT, doc("b"), CHECKPOINT, {"next_request": "c"}, CHECKPOINT, {"exit": 0}]
    flags = ("--sessions", "2", "--delay", "1h", "--timeout", "300ms")
    result = preview(tmp_path, catalog(steps, acks=True), *flags)
    assert lines(result)[-1][1]["acknowledge"] == {"checkpoints": 2}
    assert ids(preview(tmp_path, catalog(steps), *flags)) == ["a", "b"]


def test_output_state_prints_what_a_transaction_did_to_the_state(tmp_path: Path) -> None:
    steps = [{"checkpoint": {"a": {"b": 1}}}, doc("a"), {"checkpoint": {"a": {"c": None}}}, {"exit": 0}]
    result = preview(tmp_path, catalog(steps), "--sessions", "1", "--delay", "1h", "--output-state")
    update = {"updated": {"a": {"b": 1, "c": None}}, "mergePatch": True}
    assert lines(result)[1] == ["connectorState", update]


def test_output_apply_prints_what_the_connector_did(tmp_path: Path) -> None:
    result = preview(tmp_path, catalog([CHECKPOINT]), "--sessions", "1", "--output-apply")
    assert lines(result) == [["applied.actionDescription", "made ready"]]


def test_warnings_are_shown_as_lines_of_text_or_of_json(tmp_path: Path) -> None:
    content = catalog([{"log": ["INFO", "reading"]}, {"log": ["WARNING", "slow"]}, CHECKPOINT])
    assert preview(tmp_path, content, "--sessions", "1").stderr == "WARN  slow\n"
    shown = preview(tmp_path, content, "--sessions", "1", "--log-json").stderr
    assert json.loads(shown) == {"level": "warn", "msg": "slow", "fields": {"file": "x.py:1"}}


def test_log_level_of_the_capture_reaches_the_connector_and_the_terminal(tmp_path: Path) -> None:
    steps: list[Step] = [{"log": ["DEBUG", "page 2"]}, {"environment": "LOG_LEVEL"}, CHECKPOINT]
    content = catalog(steps)
    content["captures"]["acmeCo/fake"]["shards"] = {"logLevel": "debug"}
    result = preview(tmp_path, content, "--sessions", "1")
    assert re.fullmatch(r"DEBUG \d\d:\d\d:\d\d connector: page 2\n", result.stderr)
    assert lines(result)[0][1]["value"] == "debug"


def test_log_level_of_the_environment_comes_before_that_of_the_capture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "error")
    content = catalog([{"log": ["WARN", "slow"]}, {"environment": "LOG_LEVEL"}, CHECKPOINT])
    content["captures"]["acmeCo/fake"]["shards"] = {"logLevel": "debug"}
    result = preview(tmp_path, content, "--sessions", "1")
    assert result.stderr == ""
    assert lines(result)[0][1]["value"] == "error"


def test_connector_gets_the_environment_and_that_of_its_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "1")
    monkeypatch.setenv("BOTH", "1")
    steps = [{"environment": name} for name in ("OURS", "BOTH")]
    content = catalog([*steps, CHECKPOINT], env={"BOTH": "2"})
    result = preview(tmp_path, content, "--sessions", "1")
    assert {document["id"]: document["value"] for _, document in lines(result)} == {"OURS": "1", "BOTH": "2"}


def test_requests_are_what_flow_sends(tmp_path: Path) -> None:
    requests = tmp_path / "requests"
    content = catalog([CHECKPOINT], requests=str(requests))
    capture = content["captures"]["acmeCo/fake"]
    capture["interval"] = "2m"
    capture["bindings"] = [
        {"resource": {"name": "Plans"}, "target": "acmeCo/Plans", "disable": True},
        {"resource": {"name": "a b", "_meta": None}, "target": "acmeCo/Prices", "backfill": 3},
    ]
    assert lines(preview(tmp_path, content, "--sessions", "1")) == []
    collection = {"name": "acmeCo/Prices", "key": ["/id"], "writeSchema": SCHEMA}
    binding = {"resourceConfig": {"name": "a b", "_meta": None}, "collection": collection, "backfill": 3}
    task = {"name": "acmeCo/fake", "connectorType": "LOCAL", "config": {"key": "k"}}
    opened = {
        **task,
        "intervalSeconds": 120,
        "bindings": [{**binding, "resourcePath": ["a b"], "stateKey": "a%20b.v3"}],
    }
    whole = {"keyBegin": 0, "keyEnd": 4294967295, "rClockBegin": 0, "rClockEnd": 4294967295}
    assert [json.loads(line) for line in requests.read_text().splitlines()] == [
        {"spec": {"connectorType": "LOCAL"}},
        {"validate": {**task, "bindings": [binding]}},
        {"apply": {"capture": opened, "version": "local"}},
        {"open": {"capture": opened, "version": "local", "range": whole, "state": {}}},
    ]


def test_capture_is_named_where_there_are_several(tmp_path: Path) -> None:
    content = catalog([doc("a"), CHECKPOINT])
    content["captures"]["acmeCo/other"] = content["captures"]["acmeCo/fake"]
    result = preview(tmp_path, content, "--sessions", "1")
    assert result.exit_code == 1
    assert "acmeCo/fake, acmeCo/other" in result.stderr
    assert ids(preview(tmp_path, content, "--sessions", "1", "--name", "acmeCo/other")) == ["a"]


def test_command_that_is_not_installed_is_an_error_that_says_so(tmp_path: Path) -> None:
    content = catalog()
    content["captures"]["acmeCo/fake"]["endpoint"]["local"]["command"] = ["no-such-connector"]
    result = preview(tmp_path, content)
    assert result.exit_code == 1
    assert "'no-such-connector' is not found" in result.stderr


def test_warning_that_comes_again_is_shown_once(tmp_path: Path) -> None:
    steps: list[Step] = [{"log": ["WARN", "slow"]}, {"log": ["WARN", "late"]}, {"log": ["WARN", "slow"]}]
    result = preview(tmp_path, catalog([*steps, CHECKPOINT]), "--sessions", "1")
    assert result.stderr == "WARN  slow\nWARN  late\n"


def test_limit_ends_the_preview_after_so_many_documents(tmp_path: Path) -> None:
    assert ids(preview(tmp_path, catalog([{"count": [9, 2]}]), "--limit", "3")) == ["0", "1", "2"]


def test_state_of_a_limited_preview_is_of_before_the_transaction_that_was_cut(tmp_path: Path) -> None:
    kept, content = tmp_path / "state.json", catalog([{"count": [9, 2]}])
    assert ids(preview(tmp_path, content, "--limit", "3", "--state", str(kept))) == ["0", "1", "2"]
    assert json.loads(kept.read_text()) == {"n": 2}
    assert ids(preview(tmp_path, content, "--limit", "3", "--state", str(kept))) == ["2", "3", "4"]


def test_state_is_kept_in_its_file_when_the_capture_fails(tmp_path: Path) -> None:
    kept = tmp_path / "state.json"
    content = catalog([{"count": [2, 1]}, doc("b"), {"error": "gone"}])
    assert preview(tmp_path, content, "--state", str(kept)).exit_code == 1
    assert json.loads(kept.read_text()) == {"n": 2}


@pytest.mark.parametrize("content", ["[]", "{"])
def test_file_that_has_no_state_is_an_error_that_leaves_it_alone(tmp_path: Path, content: str) -> None:
    kept = tmp_path / "state.json"
    kept.write_text(content)
    result = preview(tmp_path, catalog([CHECKPOINT]), "--sessions", "1", "--state", str(kept))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {kept} has no state: it is not ")
    assert kept.read_text() == content


def test_two_states_are_a_usage_error(tmp_path: Path) -> None:
    flags = ("--state", str(tmp_path / "state.json"), "--initial-state", "{}")
    assert preview(tmp_path, catalog([CHECKPOINT]), *flags).exit_code == 2


def test_pretty_documents_are_the_same_documents(tmp_path: Path) -> None:
    content = catalog([doc("a", amount=1), CHECKPOINT])
    plain = preview(tmp_path, content, "--sessions", "1").stdout
    pretty = preview(tmp_path, content, "--sessions", "1", "--pretty").stdout
    assert json.loads(pretty) == json.loads(plain)
    assert '\n    "amount": 1,\n' in pretty


def test_preview_ends_once_every_binding_is_backfilled_and_near_the_present(tmp_path: Path) -> None:
    def told(**state: Any) -> Step:
        return {"checkpoint": {"bindingStateV1": {"Prices": state}}}

    steps = [
        told(inc={"cursor": "2026-01-01T00:00:00Z"}, backfill={"_a": {"cutoff": "", "next_page": None}}),
        doc("backfilled"),
        told(backfill={"_a": None}),
        doc("changed"),
        told(inc={"cursor": "2999-01-01T00:00:00Z"}),
        doc("too late"),
        CHECKPOINT,
    ]
    assert ids(preview(tmp_path, catalog(steps), "--until-caught-up")) == ["backfilled", "changed"]


def test_preview_that_resumes_from_a_young_cursor_reads_on_before_it_ends(tmp_path: Path) -> None:
    def told(cursor: str) -> dict[str, Any]:
        return {"bindingStateV1": {"Prices": {"inc": {"cursor": cursor}}}}

    steps: list[Step] = [
        doc("changed"),
        {"checkpoint": told("2999-01-02T00:00:00Z")},
        doc("too late"),
        CHECKPOINT,
    ]
    flags = ("--until-caught-up", "--initial-state", json.dumps(told("2999-01-01T00:00:00Z")))
    assert ids(preview(tmp_path, catalog(steps), *flags)) == ["changed"]


@pytest.mark.parametrize(
    ("base", "is_refused"),
    [("", True), ("https://api.stripe.com", True), ("http://127.0.0.1:1", False)],
)
def test_key_of_the_local_stripe_is_sent_nowhere_else(tmp_path: Path, base: str, is_refused: bool) -> None:
    content = catalog([doc("a"), CHECKPOINT], env={"STRIPE_API_BASE": base})
    key = "sk_test_Sandbox00000000000000000"
    content["captures"]["acmeCo/fake"]["endpoint"]["local"]["config"] = {"credentials": {"token": key}}
    result = preview(tmp_path, content, "--sessions", "1")
    if not is_refused:
        assert ids(result) == ["a"]
    else:
        assert (result.exit_code, result.stdout) == (1, "")
        assert "the key of the local Stripe" in result.stderr
        assert "python -m sandbox stripe -- " in result.stderr
        assert key not in result.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ("--delay", "soon"),
        ("--sessions", "1,x"),
        ("--initial-state", "{"),
        ("--initial-state", "[]"),
    ],
)
def test_flag_that_makes_no_sense_is_a_usage_error(tmp_path: Path, flags: tuple[str, ...]) -> None:
    result = preview(tmp_path, catalog(), *flags)
    assert result.exit_code == 2
    assert flags[0] in result.stderr


def test_shard_is_previewed_by_its_range_of_keys(tmp_path: Path) -> None:
    requests = tmp_path / "requests"
    content = catalog([doc("a"), CHECKPOINT], requests=str(requests))
    assert ids(preview(tmp_path, content, "--sessions", "1", "--keys", "00000000-7FFFffff")) == ["a"]
    [opened] = [line for line in requests.read_text().splitlines() if '"open"' in line]
    assert json.loads(opened)["open"]["range"] == {
        "keyBegin": 0,
        "keyEnd": 0x7FFFFFFF,
        "rClockBegin": 0,
        "rClockEnd": 0xFFFFFFFF,
    }


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("0-7fffffff", "is not a range of keys, as in 00000000-7fffffff"),
        ("80000000-7fffffff", "ends before it begins"),
    ],
)
def test_range_without_keys_is_refused(tmp_path: Path, keys: str, told: str) -> None:
    result = preview(tmp_path, catalog(), "--keys", keys)
    assert result.exit_code == 2
    assert told in result.stderr
