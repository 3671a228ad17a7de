"""Cost of a call by its function and by its script, in turns: the time of the server."""

import os
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import unquote, urlsplit

import redis
from taskorch.connections import connect
from taskorch.domain.item import Caller
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch.queue.queue import Queue
from taskorch.queue.scripts import LuaScript

from benchmarks.busy import CALLS
from benchmarks.figures import Comparison, Figure, Round
from benchmarks.queues import (
    AGENT,
    filled,
    main_thread_s,
    new,
    pid,
    server,
)
from benchmarks.report import report

#: The calls of a round are few, and the rounds many: the load of the machine changes.
TURNS = int(os.environ.get("BENCH_TURNS", "100"))
ROUNDS = 25
BY_SCRIPT, BY_FUNCTION = "by its script (EVALSHA)", "by its function (FCALL)"
FIGURES = {
    "pair": Figure(title="claim + complete, µs"),
    "create": Figure(title="create, µs"),
    "pair in Lua": Figure(title="claim + complete in Lua, µs"),
    "create in Lua": Figure(title="create in Lua, µs"),
}


class ByScript(ConnectionWrapper):
    """A connection that runs each script by its text."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._scripts: dict[str, LuaScript] = {}

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run the script with EVALSHA."""
        by_text = self._scripts.get(script.name)
        if not by_text:
            by_text = self._scripts[script.name] = LuaScript(script.name)
            by_text.function = ""
        return super().run_script(by_text, key, arguments)


class Clock:
    """The time that a server has spent."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis(
            unix_socket_path=unquote(urlsplit(url).path)
        )
        self._process = pid(url)

    def time(
        self, call: Callable[[], object], times: int
    ) -> tuple[float, float]:
        """Return what a call costs, in µs: of the main thread's processor, and in scripts."""
        cpu_s, lua_us = main_thread_s(self._process), self._lua_us()
        for _ in range(times):
            call()
        lua_us = self._lua_us() - lua_us
        cpu_s = main_thread_s(self._process) - cpu_s
        return cpu_s * 1e6 / times, lua_us / times

    def close(self) -> None:
        """Close the socket."""
        self._client.close()

    def _lua_us(self) -> int:
        commands = self._client.info("commandstats")
        return sum(
            int(commands.get(f"cmdstat_{name}", {"usec": 0})["usec"])
            for name in CALLS
        )


def measure() -> Iterator[Comparison]:
    """Make the same calls both ways, in many short rounds."""
    with server() as url:
        planner = filled(url, "functions", 2 * TURNS * (ROUNDS + 1))
        (project,) = (each.id for each in planner.views.projects())
        clock = Clock(url)
        ways = {BY_SCRIPT: ByScript(connect(url)), BY_FUNCTION: connect(url)}
        for connection in ways.values():
            _figures(clock, connection, project)
        rounds: list[Round] = []
        for number in range(ROUNDS):
            names = list(ways) if number % 2 else list(reversed(ways))
            measured = {
                name: _figures(clock, ways[name], project) for name in names
            }
            rounds.append({name: measured[name] for name in ways})
        for connection in ways.values():
            connection.close()
        clock.close()
    yield Comparison(
        name="functions",
        rows="a call",
        figures=FIGURES,
        rounds=rounds,
        baseline=BY_SCRIPT,
        remarks=(
            f"{ROUNDS} rounds of {TURNS} calls each, in turns on two connections, through the library.",
        ),
    )


def _figures(
    clock: Clock, connection: Connection, project: str
) -> dict[str, float]:
    caller = Caller(agent=AGENT)
    agent = AgentQueue(connection, "functions", caller)
    planner = Queue(connection, "functions", Caller(agent="planner"))

    def pair() -> None:
        claim = agent.claim()
        if not claim or not claim.lease:
            raise RuntimeError("The queue is empty.")
        agent.complete(claim.lease, "Done")

    pair_cpu, pair_lua = clock.time(pair, TURNS)
    create_cpu, create_lua = clock.time(
        lambda: planner.create(project, new(AGENT)), TURNS
    )
    return {
        "pair": pair_cpu,
        "create": create_cpu,
        "pair in Lua": pair_lua,
        "create in Lua": create_lua,
    }


if __name__ == "__main__":
    report(measure)
