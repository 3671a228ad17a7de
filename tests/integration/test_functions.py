"""Scripts run as functions of a library, which the first call installs on a server."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from support import servers
from support.builders import Bench, need_lease
from support.connections import connect
from support.repeats import RecordingConnection
from support.workflow import workflow
from taskorch.config.settings import resolve
from taskorch.domain import errors
from taskorch.domain.item import Caller
from taskorch.queue import keys, libraries, library, scripts
from taskorch.queue.queue import Queue
from taskorch_orchestrator.doctor.checks import CheckResult, CheckStatus
from taskorch_orchestrator.doctor.doctor import examine

NAMESPACE = "team"
OWN = library.library_name(scripts.library_hash())
#: The rights of the commands that scripts run, without those that run scripts.
RIGHTS = ("~*", "+@all", "-@scripting")


@pytest.fixture(scope="module", params=list(servers.binaries()))
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[redis.Redis]:
    folder = tmp_path_factory.mktemp("functions")
    with servers.running(servers.binaries()[request.param], folder) as url:
        yield redis.Redis.from_url(url, decode_responses=True)


@pytest.fixture
def raw(server: redis.Redis) -> Iterator[redis.Redis]:
    """An empty server without libraries and scripts, seen by its administrator."""
    server.flushall()
    server.function_flush()
    server.script_flush()
    server.config_resetstat()
    yield server
    server.config_set("maxmemory", 0)


def bench(raw: redis.Redis, *rights: str) -> Bench:
    """Return a bench as a user, by default the administrator."""
    path = raw.connection_pool.connection_kwargs["path"]
    url = f"unix://{path}"
    if rights:
        user = ("ACL", "SETUSER", "agent", "reset", "on", ">sesame", *rights)
        raw.execute_command(*user)  # type: ignore[no-untyped-call]
        url = f"unix://agent:sesame@{path}"
    queue = Queue(connect(url), NAMESPACE, Caller(agent="planner"))
    return Bench(queue, raw, NAMESPACE, url)


def calls(raw: redis.Redis) -> Counter[str]:
    """Return how often each command that runs scripts was sent."""
    stats = cast(Any, raw).info("commandstats")
    names = ("fcall", "evalsha", "eval", "function|load")
    sent = Counter(
        {
            name: stats.get(f"cmdstat_{name}", {}).get("calls", 0)
            for name in names
        }
    )
    return +sent


def installed(raw: redis.Redis) -> dict[str, list[str]]:
    """Return the functions of each library."""
    found = {}
    for row in cast(Any, raw).function_list():
        fields = dict(zip(row[::2], row[1::2], strict=True))
        functions = [
            dict(zip(each[::2], each[1::2], strict=True))["name"]
            for each in fields["functions"]
        ]
        found[fields["library_name"]] = functions
    return found


def foreign(name: str, function: str) -> str:
    return (
        f"#!lua name={name}\n"
        f"redis.register_function('{function}', function() return 'foreign' end)"
    )


def test_first_call_installs_the_library(raw: redis.Redis) -> None:
    bench(raw).project()
    first = calls(raw)
    bench(raw).project()

    assert list(installed(raw)) == [OWN]
    assert first == {"fcall": 2, "function|load": 1}
    assert calls(raw) == {"fcall": 3, "function|load": 1}


def test_flushed_library_is_installed_again(raw: redis.Redis) -> None:
    there = bench(raw)
    there.project()
    raw.function_flush()
    raw.script_flush()

    there.project()

    assert list(installed(raw)) == [OWN]
    assert calls(raw)["evalsha"] == 0


@pytest.mark.parametrize("binary", list(servers.binaries().values()))
def test_library_outlasts_a_restart(binary: str, tmp_path: Path) -> None:
    options = ("--appendonly", "yes")
    with servers.running(binary, tmp_path, *options) as url:
        Queue(connect(url), NAMESPACE, Caller(agent="planner")).project("x")

    with servers.running(binary, tmp_path, *options) as url:
        Queue(connect(url), NAMESPACE, Caller(agent="planner")).project("x")
        raw = redis.Redis.from_url(url, decode_responses=True)
        assert calls(raw) == {"fcall": 1}
        raw.close()


def test_user_with_fcall_alone_uses_what_is_installed(
    raw: redis.Redis,
) -> None:
    bench(raw).project()
    raw.config_resetstat()

    done = list(workflow(bench(raw, *RIGHTS, "+fcall")))

    assert len(done) > 40
    assert set(calls(raw)) == {"fcall"}


def test_user_with_fcall_alone_learns_what_is_missing(
    raw: redis.Redis,
) -> None:
    there = bench(raw, *RIGHTS, "+fcall")

    with pytest.raises(errors.Refused) as refusal:
        there.project()
    bench(raw).project()
    there.project()

    assert "functions of this version are not installed" in str(refusal.value)
    assert "orchestrate doctor" in refusal.value.hint()


def test_user_who_cannot_install_runs_scripts(raw: redis.Redis) -> None:
    there = bench(raw, *RIGHTS, "+fcall", "+eval", "+evalsha")
    there.project()
    first = calls(raw)

    there.project()

    assert first == {"fcall": 1, "evalsha": 1, "eval": 1}
    assert calls(raw) - first == {"evalsha": 1}
    assert installed(raw) == {}


def test_user_without_fcall_runs_scripts(raw: redis.Redis) -> None:
    bench(raw).project()
    raw.config_resetstat()

    done = list(workflow(bench(raw, *RIGHTS, "+eval", "+evalsha")))

    assert len(done) > 40
    assert calls(raw)["fcall"] == 0
    assert calls(raw)["evalsha"] > 40


@pytest.mark.parametrize(
    ("name", "function"),
    [(OWN, "theirs"), ("theirs", scripts.load("reap").function)],
    ids=["library", "function"],
)
def test_foreign_library_is_left_alone(
    raw: redis.Redis, name: str, function: str
) -> None:
    raw.function_load(foreign(name, function))

    project = bench(raw).project()

    assert project.startswith("proj_")
    assert installed(raw) == {name: [function]}
    assert calls(raw)["eval"] == 1


def test_libraries_of_two_versions_are_side_by_side(raw: redis.Redis) -> None:
    own = scripts.library_hash()
    newer = scripts.library_text().replace(own, "0" * len(own))
    raw.function_load(newer)

    bench(raw).project()

    assert set(installed(raw)) == {OWN, library.library_name("0" * len(own))}


def fill_memory(raw: redis.Redis) -> None:
    raw.config_set("maxmemory", 1)


def test_full_memory_refuses_what_writes(raw: redis.Redis) -> None:
    there = bench(raw)
    lease = there.claimed()
    fill_memory(raw)

    with pytest.raises(errors.Stalled) as refusal:
        there.agent().progress(lease, "Half")

    assert refusal.value.details["why"] == "OOM"
    there.queue.views.projects()
    raw.config_set("maxmemory", 0)
    there.agent().progress(lease, "Half")


def test_repeat_is_answered_when_memory_is_full(raw: redis.Redis) -> None:
    there = bench(raw)
    words = ("1", keys.meta(NAMESPACE), "0123456789abcdef", "planner")
    create = (*words, "", "", "", "", "T", "D", "0a0b0c0d", "")
    project = scripts.load("project")
    there.project()
    first = raw.execute_command("FCALL", project.function, *create)  # type: ignore[no-untyped-call]
    fill_memory(raw)
    connection = there.queue.connection

    again = connection.run_script(project, create[1], create[2:])

    assert again == first


@pytest.mark.parametrize("verb", ["claim", "complete"])
def test_repeat_found_on_items_survives_full_memory(
    raw: redis.Redis, verb: str
) -> None:
    there = bench(raw)
    project = there.project()
    for _ in range(2):
        there.item(project)
    connection = RecordingConnection(there.queue.connection)
    agent = there.with_connection(lambda _: connection).agent()
    lease = need_lease(agent.claim())
    if verb == "complete":
        agent.complete(lease, "done", next=True)
    fill_memory(raw)

    first, again = connection.repeat(len(connection.calls) - 1)

    assert first.script.name == verb
    assert again.reply == first.reply


def test_full_memory_is_reported_to_fcall_alone(raw: redis.Redis) -> None:
    bench(raw).project()
    there = bench(raw, *RIGHTS, "+fcall")
    fill_memory(raw)

    with pytest.raises(errors.Stalled) as refusal:
        there.project()

    assert refusal.value.details["why"] == "OOM"


def test_purge_by_fcall_alone_frees_full_memory(raw: redis.Redis) -> None:
    project = bench(raw).project()
    there = bench(raw, *RIGHTS, "+fcall")
    there.queue.complete_project(project)
    fill_memory(raw)

    with suppress(errors.Stalled):
        there.queue.purge(project)

    assert raw.exists(f"{keys.tag(NAMESPACE)}project:{project}") == 0


def test_aborted_call_leaves_nothing_to_the_next(raw: redis.Redis) -> None:
    there = bench(raw)
    project = there.project()
    leases = [there.claimed(there.item(project)) for _ in range(2)]
    damaged = f"{keys.tag(NAMESPACE)}progress:{leases[1].item}"
    raw.delete(damaged)
    raw.set(damaged, "not a stream")
    agent = there.agent()
    with pytest.raises(errors.TaskOrchestratorError, match="WRONGTYPE"):
        agent.complete_many([(lease, "Done", {}) for lease in leases])

    before = there.everything()

    Queue(there.queue.connection, "other", there.queue.caller).project("x")

    assert there.everything() == before
    assert calls(raw)["evalsha"] == 0


def test_library_knows_when_it_was_called(raw: redis.Redis) -> None:
    bench(raw).project()
    digits, fcall = scripts.library_hash(), cast(Any, raw).fcall
    check = scripts.function_name("check", digits)
    called_at = scripts.function_name("called_at", digits)
    words = (keys.meta(NAMESPACE), "0123456789abcdef", "ada", "", "", "", "")

    (*_, now, _pools) = fcall(check, 1, *words, 1)

    assert [fcall(called_at, 0) for _ in range(2)] == [now, now]


DAY_MS = 24 * 3_600_000


def load_other(raw: redis.Redis, digits: str, called_ms_ago: int) -> str:
    """Load a library of another version, and return its name."""
    seconds, _ = cast(Any, raw).time()
    name = library.library_name(digits)
    raw.function_load(
        f"#!lua name={name}\n"
        "redis.register_function{"
        f"function_name = 'called_at_{digits}', flags = {{'no-writes'}}, "
        f"callback = function() return {seconds * 1000 - called_ms_ago} end}}"
    )
    return name


def test_library_without_calls_is_removed(raw: redis.Redis) -> None:
    there = bench(raw)
    there.project()
    old = load_other(raw, "0" * 16, DAY_MS + 60_000)
    used = load_other(raw, "1" * 16, DAY_MS - 60_000)
    raw.function_load(foreign("taskorch_board", "theirs"))

    removed = libraries.remove_unused(there.queue.connection, NAMESPACE)

    assert removed == (old,)
    assert set(installed(raw)) == {OWN, used, "taskorch_board"}


def test_own_library_is_never_removed(
    raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = bench(raw)
    there.project()
    monkeypatch.setattr(libraries, "UNUSED_MS", -DAY_MS)

    assert libraries.remove_unused(there.queue.connection, NAMESPACE) == ()
    assert list(installed(raw)) == [OWN]


def functions_check(there: Bench) -> CheckResult:
    settings = resolve({}, {}, Path.cwd())
    diagnosis = examine(there.queue, settings, fix=False)
    return next(
        check for check in diagnosis.checks if check.name == "functions"
    )


def test_doctor_names_the_installed_libraries(raw: redis.Redis) -> None:
    other = load_other(raw, "1" * 16, 2 * 3_600_000)

    check = functions_check(bench(raw))

    assert check.status is CheckStatus.OK
    assert check.found == (
        f"{OWN} is installed; of other versions: {other}, last called 2 h ago"
    )


@pytest.mark.parametrize("name", [OWN, "taskorch_board"])
def test_doctor_reports_foreign_libraries(raw: redis.Redis, name: str) -> None:
    raw.function_load(foreign(name, "theirs"))

    check = functions_check(bench(raw))

    assert check.status is CheckStatus.PROBLEM
    assert check.mend.startswith("redis-cli -s ")
    assert check.mend.endswith(f".sock function delete {name}")


def test_doctor_reports_altered_functions(raw: redis.Redis) -> None:
    text = scripts.library_text()
    raw.function_load(text.replace("local MAX_DUE = 10", "local MAX_DUE = 1"))

    check = functions_check(bench(raw))

    assert check.status is CheckStatus.PROBLEM
    assert OWN in check.found


def test_doctor_reports_missing_rights_to_functions(raw: redis.Redis) -> None:
    unread = functions_check(bench(raw, *RIGHTS, "+eval", "+evalsha"))
    scripted = bench(
        raw, *RIGHTS, "+eval", "+evalsha", "+fcall", "+function|list"
    )
    missing = functions_check(scripted)

    assert (unread.status, missing.status) == (
        CheckStatus.NOTE,
        CheckStatus.NOTE,
    )
    assert "not checked" in unread.found
    assert "not installed" in missing.found
