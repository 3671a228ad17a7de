"""How long to wait before the next try: longer after each, and not the same for everybody."""

from random import uniform

#: Beyond so many doublings only the longest pause counts.
MOST_DOUBLINGS = 16


def pause_s(failures: int, first_s: float, longest_s: float) -> float:
    """Return the seconds to wait after so many failures, from 0: about `first_s`, doubled each time, to `longest_s`."""
    pause = min(longest_s, first_s * 2.0 ** min(failures, MOST_DOUBLINGS))
    return pause * uniform(0.5, 1)  # noqa: S311  it is no secret
