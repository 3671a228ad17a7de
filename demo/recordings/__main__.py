"""`make recordings`: play each scenario, and write its image.

The board has pictures, which need Chromium.
"""

import argparse
import signal
import sys
from dataclasses import replace
from pathlib import Path

from demo.recordings import board_picture
from demo.recordings.board_picture import CHROMIUM, PICTURES
from demo.recordings.recorder import Recorder, Recording
from demo.recordings.scenario import Scenario
from demo.recordings.scenarios import first_minute, work_in_progress
from demo.recordings.scratch_root import scratch_root
from demo.recordings.svg import About, document

SCENARIOS = (
    first_minute.SCENARIO,
    work_in_progress.WATCH,
    work_in_progress.PROGRESS,
)
NAMES = tuple(each.name for each in (*SCENARIOS, *PICTURES))
IMAGES = Path(__file__).parents[2] / "docs" / "images"


def main() -> None:
    """Record the named images, or all."""
    arguments = argparse.ArgumentParser(
        prog="make recordings", description=__doc__
    )
    arguments.add_argument(
        "name",
        nargs="*",
        help="image to record: " + ", ".join(NAMES),
    )
    arguments.add_argument(
        "--to", type=Path, default=IMAGES, help="folder for the images"
    )
    wanted = arguments.parse_args()
    unknown = set(wanted.name) - set(NAMES)
    if unknown:
        arguments.error(f"There is no recording {', '.join(sorted(unknown))}.")
    # The processes that were started end with the blocks below.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    for scenario in SCENARIOS:
        if not wanted.name or scenario.name in wanted.name:
            image = wanted.to / f"{scenario.name}.svg"
            image.write_text(_image(scenario), encoding="utf-8")
            sys.stdout.write(f"{image}\n")
    for picture in PICTURES:
        if not wanted.name or picture.name in wanted.name:
            if not CHROMIUM.exists():
                sys.exit(f"Pictures of the board need {CHROMIUM}.")
            image = wanted.to / f"{picture.name}.png"
            board_picture.take(picture, image)
            sys.stdout.write(f"{image}\n")


def _image(scenario: Scenario) -> str:
    with scratch_root() as root, Recorder(root) as recorder:
        for file in scenario.files:
            root.put(file)
        scenario.play(recorder)
        recording = recorder.recording()
    about = About(
        title=scenario.title,
        description=scenario.description,
        digest=scenario.digest(),
    )
    if scenario.is_still:
        recording = _last_frame(recording)
    return document(recording, about)


def _last_frame(recording: Recording) -> Recording:
    return replace(
        recording,
        duration_ms=0,
        turns=(),
        panes=tuple(
            replace(pane, frames=(replace(pane.frames[-1], at_ms=0),))
            for pane in recording.panes
        ),
    )


if __name__ == "__main__":
    main()
