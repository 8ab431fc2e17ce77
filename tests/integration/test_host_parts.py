"""The pure parts of the local host: host.json, schedules, route templates, message bodies, back-off, thread count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from sandbox.host import app_settings, host_json, messages, routes, schedule
from sandbox.host.host_json import HostConfig, MessageEncoding, QueueOptions
from sandbox.host.invoking import thread_count
from sandbox.host.problems import FunctionError, HostError
from sandbox.host.queues import BackOff
from sandbox.host.timer_status import TimerStatus, monitored

REPOSITORY = Path(__file__).parents[2]
NOON = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)  # a Wednesday


def written(folder: Path, text: str) -> Path:
    (folder / "host.json").write_text(text, "utf-8")
    return folder


def test_the_products_own_host_json_says_what_the_design_wants() -> None:
    assert host_json.load(REPOSITORY) == HostConfig(
        route_prefix="api",
        function_timeout=1800.0,
        queues=QueueOptions(
            batch_size=4, new_batch_threshold=0, visibility_timeout=30.0, max_dequeue_count=5, max_polling_interval=2.0
        ),
    )


def test_an_empty_host_json_means_azures_defaults(tmp_path: Path) -> None:
    config = host_json.load(written(tmp_path, "{}"), cpus=2)
    assert (config.queues.batch_size, config.queues.new_batch_threshold) == (16, 16)
    assert (config.queues.visibility_timeout, config.queues.encoding) == (0.0, MessageEncoding.BASE64)


def test_a_batch_of_one_is_serial_on_any_number_of_cpus(tmp_path: Path) -> None:
    folder = written(tmp_path, '{"extensions": {"queues": {"batchSize": 1}}}')
    assert host_json.load(folder, cpus=8).queues.new_batch_threshold == 0


def test_a_function_may_have_no_time_limit(tmp_path: Path) -> None:
    assert host_json.load(written(tmp_path, '{"functionTimeout": "-1"}')).function_timeout is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[]", id="no-object"),
        pytest.param('{"extensions": []}', id="section-no-object"),
        pytest.param('{"functionTimeout": "30 minutes"}', id="time-limit"),
        pytest.param('{"extensions": {"queues": {"batchSize": 33}}}', id="batch-too-large"),
        pytest.param('{"extensions": {"queues": {"batchSize": true}}}', id="batch-no-number"),
        pytest.param('{"extensions": {"queues": {"newBatchThreshold": -1}}}', id="negative"),
        pytest.param('{"extensions": {"queues": {"messageEncoding": "utf8"}}}', id="encoding"),
        pytest.param('{"extensions": {"queues": {"visibilityTimeout": 30}}}', id="time-as-number"),
    ],
)
def test_a_host_json_that_azure_would_refuse_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(HostError, match=r"host\.json"):
        host_json.load(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "seconds"), [("00:00:30", 30.0), ("00:30:00", 1800.0), ("1.02:03:04.5", 93784.5), ("00:00:00.1", 0.1)]
)
def test_time_spans_are_read_as_dotnet_writes_them(text: str, seconds: float) -> None:
    assert host_json.time_span(text, "x") == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("expression", "due"),
    [
        pytest.param("*/30 * * * * *", NOON + timedelta(seconds=30), id="every-30-seconds"),
        pytest.param("0 */15 * * * *", NOON + timedelta(minutes=15), id="every-15-minutes"),
        pytest.param("30 9 * * *", datetime(2026, 3, 5, 9, 30, tzinfo=UTC), id="five-fields-have-no-second"),
        pytest.param("0 0 3 * * Mon-Fri", datetime(2026, 3, 5, 3, tzinfo=UTC), id="names-of-days"),
        pytest.param("0 0 3 1 January *", datetime(2027, 1, 1, 3, tzinfo=UTC), id="whole-names"),
        pytest.param("0 0 0 13 * 5", datetime(2026, 3, 13, tzinfo=UTC), id="day-and-day-of-week-both-hold"),
    ],
)
def test_a_schedule_gives_the_next_time_in_utc(expression: str, due: datetime) -> None:
    after = schedule.next_occurrence(expression)
    assert after(NOON) == due
    assert after(NOON.astimezone(timezone(timedelta(hours=5)))) == due


@pytest.mark.parametrize(
    "expression", ["", "@daily", "* * * *", "0 0 0 L * *", "61 * * * * *", "00:00:30", "? * * * * *"]
)
def test_what_is_not_ncrontab_is_refused(expression: str) -> None:
    with pytest.raises(FunctionError, match="not NCRONTAB"):
        schedule.next_occurrence(expression)


def test_a_timer_misses_what_its_schedule_named_since_it_was_served_last(tmp_path: Path) -> None:
    status = TimerStatus(tmp_path / "new", "t", schedule.next_occurrence("0 0 3 * * *"))
    assert not status.missed(NOON), "never seen before: served from now on"
    assert not status.missed(NOON + timedelta(hours=14))
    assert status.missed(NOON + timedelta(hours=15))
    status.record(NOON + timedelta(hours=15))
    assert not status.missed(NOON + timedelta(hours=16))
    assert TimerStatus(tmp_path / "new", "u", schedule.next_occurrence("0 0 3 * * *")).missed(NOON) is False


def test_a_timer_status_that_cannot_be_read_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("[]", "utf-8")
    status = TimerStatus(tmp_path, "t", schedule.next_occurrence("* * * * * *"))
    assert not status.missed(NOON)
    assert status.missed(NOON + timedelta(seconds=2))


@pytest.mark.parametrize(
    ("expression", "use_monitor", "expected"),
    [
        pytest.param("*/30 * * * * *", None, False, id="under-a-minute"),
        pytest.param("0 * * * * *", None, True, id="a-minute"),
        pytest.param("0 0 3 * * *", False, False, id="switched-off"),
        pytest.param("*/30 * * * * *", True, True, id="switched-on"),
    ],
)
def test_a_timer_is_monitored_from_a_minute_up_unless_it_says_otherwise(
    expression: str, use_monitor: bool | None, expected: bool
) -> None:
    assert monitored(use_monitor, schedule.next_occurrence(expression), NOON) is expected


def test_a_binding_names_app_settings_between_percent_signs() -> None:
    assert app_settings.resolve("%A%-%B%", {"A": "x", "B": "y"}) == "x-y"
    with pytest.raises(FunctionError, match="the app setting B is not set"):
        app_settings.resolve("%B%", {"B": ""})


@pytest.mark.parametrize(
    ("route", "path", "expected"),
    [
        pytest.param("runs/{id}", "/runs/7", {"id": "7"}, id="parameter"),
        pytest.param("runs/{id}", "/runs", None, id="parameter-missing"),
        pytest.param("runs/{id}", "/runs/7/x", None, id="too-long"),
        pytest.param("runs/{id?}", "/runs", {}, id="optional"),
        pytest.param("runs/{id:int}", "/runs/7", {"id": "7"}, id="constraint-holds"),
        pytest.param("runs/{id:int}", "/runs/x", None, id="constraint-fails"),
        pytest.param("runs/{id}", "/runs//", None, id="empty-segment-is-no-value"),
        pytest.param("review/{*path}", "/review/a/b.css", {"path": "a/b.css"}, id="rest"),
        pytest.param("", "/", {}, id="root"),
    ],
)
def test_a_template_matches_whole_paths(route: str, path: str, expected: dict[str, str] | None) -> None:
    assert routes.template(route).match(routes.segments(path)) == expected


@pytest.mark.parametrize("route", ["a/{b}.csv", "a/{*rest}/b", "a/{b:regex}", "a/{"])
def test_a_template_that_can_not_be_served_is_refused(route: str) -> None:
    with pytest.raises(HostError, match="Route a/"):
        routes.template(route)


def test_query_names_ignore_case_and_pluses_are_spaces() -> None:
    assert routes.query("Q=a+b&q=c&x=&y") == {"Q": "a b,c"}


@pytest.mark.parametrize(
    ("text", "payload"), [("eyJhIjoxfQ==", b'{"a":1}'), ("eyJh\nIjoxfQ==", b'{"a":1}'), ("", b""), ("/w==", b"\xff")]
)
def test_a_message_is_base64_and_may_hold_white_space(text: str, payload: bytes) -> None:
    assert messages.body(text, MessageEncoding.BASE64) == payload


@pytest.mark.parametrize("text", ['{"a":1}', "eyJhIjoxfQ", "\u00fc"])
def test_what_is_not_base64_is_told_apart(text: str) -> None:
    with pytest.raises(messages.Undecodable):
        messages.body(text, MessageEncoding.BASE64)


def received() -> messages.Received:
    return messages.Received("m-1", "", "r-1", 3, NOON, NOON + timedelta(days=7), NOON + timedelta(minutes=10))


def test_a_function_gets_the_metadata_of_its_message() -> None:
    message = messages.for_function(received(), b'[{"id": "not top level"}]')
    assert (message.id, message.dequeue_count, message.pop_receipt) == ("m-1", 3, "r-1")
    assert (message.insertion_time, message.expiration_time) == (NOON, NOON + timedelta(days=7))


def test_metadata_that_a_property_makes_unreadable_fails_the_message() -> None:
    with pytest.raises(ValueError, match="DequeueCount"):
        messages.for_function(received(), b'{"dequeueCount": "many"}')


def test_the_back_off_doubles_up_to_its_ceiling_and_starts_again() -> None:
    back_off = BackOff(1.0, jitter=lambda: 0.5)
    assert [back_off.next() for _ in range(6)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])
    back_off.reset()
    assert back_off.next() == pytest.approx(0.1)


@pytest.mark.parametrize(("setting", "threads"), [("7", 7), ("99", 32), ("0", 1)])
def test_the_thread_count_stays_in_azures_bounds(setting: str, threads: int) -> None:
    assert thread_count({"PYTHON_THREADPOOL_THREAD_COUNT": setting}) == threads
    assert 1 <= thread_count({}) <= 32
