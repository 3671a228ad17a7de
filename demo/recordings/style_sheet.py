"""The style sheet of an image: colours, fonts, and an animation for each change."""

from collections.abc import Sequence

#: In px. A cell is as wide as in most monospaced fonts: 0.6 of the font's size.
FONT_SIZE = 13
CELL_WIDTH = 7.8
CELL_HEIGHT = 16
CARD, SCREEN, EDGE = "#161b22", "#0d1117", "#30363d"
ACTIVE, CURSOR = "#58a6ff", "#8b949e"
#: The emulator's names of the colours of a terminal.
COLOURS = {
    "black": "#484f58",
    "red": "#ff7b72",
    "green": "#56d364",
    "brown": "#e3b341",
    "blue": "#79c0ff",
    "magenta": "#d2a8ff",
    "cyan": "#56d4dd",
    "white": "#b1bac4",
    "brightblack": "#6e7681",
}
FIXED_RULES = f"""\
text{{font:{FONT_SIZE}px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',\
'Liberation Mono',monospace;white-space:pre;fill:#c9d1d9}}
.bold{{font-weight:bold}}
.typed{{font-weight:bold;fill:#f0f6fc}}
.title{{fill:#8b949e}}
.caption{{font:15px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;\
fill:#f0f6fc}}"""

#: The attributes of an element.
Attributes = dict[str, str]


class StyleSheet:
    """The rules of one image; an animation repeats after `duration_ms`.

    A rule's own declarations hold where nothing is animated.
    """

    def __init__(self, duration_ms: int) -> None:
        self._duration_ms = duration_ms
        #: (declarations, keyframes) -> the name of the animation.
        self._names: dict[tuple[str, str], str] = {}

    def changing(self, steps: Sequence[tuple[int, str]]) -> Attributes:
        """Return the attributes for declarations, each of which holds from a time.

        The first time is 0.
        """
        changes = [
            step
            for number, step in enumerate(steps)
            if not number or step[1] != steps[number - 1][1]
        ]
        final = changes[-1][1]
        if len(changes) == 1:
            return {"style": final}
        return self.animated(changes, final)

    def shown(self, from_ms: int, until_ms: int | None) -> Attributes:
        """Return the attributes of what is visible from a time, and until a time."""
        if not from_ms and until_ms is None:
            return {}
        steps = [(from_ms, "visibility:visible")]
        if from_ms:
            steps.insert(0, (0, "visibility:hidden"))
        if until_ms is not None:
            steps.append((until_ms, "visibility:hidden"))
        return self.animated(steps, steps[-1][1])

    def animated(
        self, steps: Sequence[tuple[int, str]], final: str
    ) -> Attributes:
        """Return the attributes for an animation with `final` as its still picture."""
        keyframes = "".join(
            f"{self._share(at_ms)}%{{{declarations}}}"
            for at_ms, declarations in steps
        )
        name = self._names.setdefault(
            (final, keyframes), f"a{len(self._names)}"
        )
        return {"class": f"a {name}"}

    def text(self) -> str:
        """Return all rules."""
        rules = [FIXED_RULES]
        rules += [
            f".{name}{{fill:{colour}}}" for name, colour in COLOURS.items()
        ]
        if self._names:
            rules += [
                f".a{{animation:{self._duration_ms}ms step-end infinite}}",
                "@media(prefers-reduced-motion:reduce){.a{animation:none}}",
            ]
        for (final, keyframes), name in self._names.items():
            rules += [
                f".{name}{{{final};animation-name:{name}}}",
                f"@keyframes {name}{{{keyframes}}}",
            ]
        return "\n".join(rules)

    def _share(self, at_ms: int) -> str:
        return f"{100 * at_ms / self._duration_ms:.3f}".rstrip("0").rstrip(".")
