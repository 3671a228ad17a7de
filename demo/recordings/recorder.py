"""Record terminals while a scenario types into them.

The commands are real, and so is what they print. The clock is the recorder's own: each
key takes `KEY_MS`, and a command's output appears `ANSWER_MS` after Enter.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from demo.recordings.scratch_root import ScratchRoot
from demo.recordings.screen import Screen
from demo.recordings.terminal import Terminal

COLUMNS = 80
KEY_MS = 30
ANSWER_MS = 150
#: How long a screen is shown if the scenario does not say, in seconds.
READING_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A screen, and when it appears."""

    at_ms: int
    screen: Screen


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A moment from which something is so: a caption's text, the active pane."""

    at_ms: int
    text: str


@dataclass(frozen=True, kw_only=True)
class RecordedPane:
    """One terminal of a recording."""

    title: str
    rows: int
    frames: tuple[Frame, ...]


@dataclass(frozen=True, kw_only=True)
class Recording:
    """All terminals from the beginning to the end."""

    duration_ms: int
    panes: tuple[RecordedPane, ...]
    captions: tuple[Mark, ...]
    #: The titles of the panes, in the order of their turns.
    turns: tuple[Mark, ...]
    commands: tuple[str, ...]


class Recorder:
    """The terminals of a scenario, and the clock of its recording."""

    def __init__(self, root: ScratchRoot) -> None:
        self.root = root
        self.now_ms = 0
        self._panes: list[Pane] = []
        self._captions: list[Mark] = []
        self._turns: list[Mark] = []
        self._commands: list[str] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def pane(
        self, title: str, *, rows: int, hides: str = "", **variables: str
    ) -> "Pane":
        """Open a terminal below the others, with environment variables.

        The word that it hides, such as the name of this machine, is shown as "host".
        """
        terminal = Terminal(
            self.root.folder,
            {**self.root.environment, **variables},
            columns=COLUMNS,
            rows=rows,
        )
        pane = Pane(
            self,
            self._open.enter_context(terminal),
            title=title,
            rows=rows,
            hides=hides,
        )
        self._panes.append(pane)
        return pane

    def caption(self, text: str) -> None:
        """Say in one line what happens from now on."""
        self._captions.append(Mark(at_ms=self.now_ms, text=text))

    def pause(self, seconds: float) -> None:
        """Let the reader read."""
        self.now_ms += round(seconds * 1000)

    def turn(self, pane: "Pane") -> None:
        """Note which pane is worked in from now on."""
        if not self._turns or self._turns[-1].text != pane.title:
            self._turns.append(Mark(at_ms=self.now_ms, text=pane.title))

    def typed(self, command: str) -> None:
        """Note a command that was typed."""
        self._commands.append(command)

    def recording(self) -> Recording:
        """Return everything so far."""
        return Recording(
            duration_ms=self.now_ms,
            panes=tuple(pane.recorded() for pane in self._panes),
            captions=tuple(self._captions),
            turns=tuple(self._turns),
            commands=tuple(self._commands),
        )


class Pane:
    """A terminal that is recorded: a scenario types here and waits for answers."""

    def __init__(
        self,
        recorder: Recorder,
        terminal: Terminal,
        *,
        title: str,
        rows: int,
        hides: str,
    ) -> None:
        self.title = title
        self._recorder = recorder
        self._terminal = terminal
        self._rows = rows
        self._hides = hides
        self._frames: list[Frame] = []
        self._record()

    def run(self, command: str, *, reading_s: float = READING_S) -> None:
        """Type a command and wait for its end."""
        self._type(command)
        self.finish(reading_s=reading_s)

    def start(
        self, command: str, *, shows: str = "", reading_s: float = READING_S
    ) -> None:
        """Type a command that waits, until the screen has a match for `shows`."""
        self._type(command)
        self._terminal.await_text(shows)
        self._answer(reading_s)

    def finish(self, *, reading_s: float = READING_S) -> None:
        """Wait for the end of the command that was started."""
        self._terminal.await_prompt()
        self._answer(reading_s)

    def read(self, pattern: str) -> str:
        """Wait for a match on the screen, and return it, or its first group."""
        return self._terminal.await_text(pattern)

    def recorded(self) -> RecordedPane:
        """Return its frames so far."""
        return RecordedPane(
            title=self.title, rows=self._rows, frames=tuple(self._frames)
        )

    def _type(self, command: str) -> None:
        self._recorder.turn(self)
        self._recorder.typed(command)
        for key in command:
            self._terminal.press(key)
            self._recorder.now_ms += KEY_MS
            self._record()
        self._terminal.press("\r")

    def _answer(self, reading_s: float) -> None:
        self._recorder.turn(self)
        self._recorder.now_ms += ANSWER_MS
        self._record()
        self._recorder.pause(reading_s)

    def _record(self) -> None:
        screen = self._terminal.screen()
        if self._hides:
            screen = screen.masked(self._hides, by="host")
        self._frames.append(Frame(at_ms=self._recorder.now_ms, screen=screen))
