"""The recording at the top of README.md: a plan, two agents, a question, a result."""

from pathlib import Path

from demo.recordings.recorder import Recorder
from demo.recordings.scenario import Scenario


def play(recorder: Recorder) -> None:
    """Type what the orchestrator and the two agents type."""
    planner = recorder.pane("orchestrator", rows=14)
    expert = recorder.pane(
        "AGENT_ID=database_expert", rows=10, AGENT_ID="database_expert"
    )
    developer = recorder.pane(
        "AGENT_ID=backend_developer", rows=14, AGENT_ID="backend_developer"
    )

    recorder.caption(
        "The orchestrator plans two items for two agents: first the schema."
    )
    recorder.pause(0.5)
    planner.run("cat plan.yaml", reading_s=2)
    planner.run("orchestrate apply plan.yaml", reading_s=1.5)
    project = planner.read(r"proj_\w+")
    schema = planner.read(r"schema +(item_\w+)")
    api = planner.read(r"api +(item_\w+)")

    recorder.caption(
        "Both agents ask for work. The second one waits for the schema."
    )
    developer.start("worker pop --wait 60", shows="Waiting for an item")
    expert.run("worker pop", reading_s=2)

    recorder.caption(
        "The first agent shares a discovery and completes its item."
    )
    expert.run(f'worker discover {schema} "E-mails are lower case"')
    expert.run(
        f'worker complete {schema} "2 tables" --deliverable schema=db.sql',
        reading_s=0.3,
    )
    recorder.caption(
        "The second agent gets its item, with the result and the discovery."
    )
    developer.finish(reading_s=3.5)

    recorder.caption(
        "It asks the orchestrator a question and waits for the answer."
    )
    developer.run(
        f'worker blocker {api} "How long does a session last?"', reading_s=0.5
    )
    developer.start(f"worker wait {api}", reading_s=0.5)
    planner.run("orchestrate inbox", reading_s=1.5)
    planner.run(f'orchestrate answer {api} "30 days"', reading_s=0.3)
    developer.finish(reading_s=1.5)
    developer.run(
        f'worker complete {api} "2 endpoints, tested"', reading_s=0.3
    )

    recorder.caption(
        "The orchestrator sees the progress and completes the project."
    )
    planner.run(f"orchestrate progress {project}", reading_s=2.5)
    planner.run(f"orchestrate complete {project}", reading_s=5)


SCENARIO = Scenario(
    name="first-minute",
    title="Task Orchestrator: an orchestrator and two agents share one queue",
    description=(
        "Three terminals. The orchestrator applies a plan of two items; the second "
        "depends on the first. The first agent claims its item, shares a discovery and "
        "completes the item. That ends the second agent's wait: it gets its item, with "
        "the result and the discovery, asks a question, receives the answer and "
        "completes the item. The orchestrator sees the progress and completes the "
        "project."
    ),
    play=play,
    files=(Path(__file__).with_name("plan.yaml"),),
)
