"""The layout of a dependency graph: items in columns, and curves between them.

An item is one column to the right of its last dependency, so time runs from left to
right. Each connected part of the graph is a band of its own; items that depend on
nothing, and that nothing depends on, are in a grid below the bands.

An item has a stop in its own column. If a dependent is further to the right, the item
has a stop in each column in between, too: there its curve passes between the boxes.
"""

from bisect import bisect, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from taskorch.domain.frozen import Frozen

#: Sizes in pixels: of a box, between two columns, between two boxes of a column, between
#: two bands, and around the graph.
BOX_WIDTH, BOX_HEIGHT = 190, 40
COLUMN_GAP, ROW_GAP, BAND_GAP = 56, 10, 24
MARGIN = 16
PITCH = BOX_WIDTH + COLUMN_GAP
#: The height of a curve that passes between boxes, and how far it leaves a box level.
BEND_HEIGHT, REACH = 6, 40
#: Columns of the grid: as many as fit on a screen of 1280 pixels.
GRID_COLUMNS = 5
#: With more dependencies than this, those that others imply are not drawn.
MANY_EDGES = 120
#: Maximum number of dependencies that are drawn, the shortest first.
MOST_EDGES = 600
#: Maximum number of stops between boxes in a band; with more, curves pass behind boxes.
MOST_BENDS = 1000
#: How often the columns are sorted, and then aligned, to and fro.
SORTINGS, ALIGNMENTS = 8, 6
#: The weight of a neighbour that would bend a long curve, compared with another.
STRAIGHTNESS = 8

#: An item and a column.
Stop = tuple[str, int]
Dependencies = Mapping[str, Sequence[str]]


class GraphBox(Frozen):
    """The place of an item: the upper left corner of its box."""

    id: str
    x: int
    y: int


class GraphEdge(Frozen):
    """The curve from an item to one that depends on it, as the data of an SVG path."""

    source: str
    target: str
    path: str


class GraphLayout(Frozen):
    """A graph whose boxes and curves have places."""

    #: By column, from top to bottom.
    boxes: tuple[GraphBox, ...]
    edges: tuple[GraphEdge, ...]
    width: int
    height: int
    #: The number of dependencies that are not drawn.
    left_out: int


class Band(Frozen):
    """A connected part of the graph, with the centres of its stops."""

    columns: Mapping[str, int]
    centres: Mapping[Stop, float]
    edges: Sequence[tuple[str, str]]
    height: float


def layout(after: Dependencies) -> GraphLayout:
    """Return the layout of a graph; `after` has the dependencies of each item.

    Dependencies on unknown items are ignored, and so is one of each circle.
    """
    known = _without_circles(after)
    drawn = _drawn(known)
    columns = _columns(known)
    parts = _parts(drawn)
    bands = [_band(part, columns, drawn) for part in parts if len(part) > 1]
    boxes: list[GraphBox] = []
    edges: list[GraphEdge] = []
    top = MARGIN
    for band in bands:
        boxes += _boxes(band, top)
        edges += _edges(band, top)
        top += round(band.height) + BAND_GAP
    singles = [part[0] for part in parts if len(part) == 1]
    boxes += _grid(singles, top, max((box.x for box in boxes), default=0))
    boxes.sort(key=lambda box: (box.x, box.y))
    return GraphLayout(
        boxes=tuple(boxes),
        edges=tuple(edges),
        width=max((box.x for box in boxes), default=0) + BOX_WIDTH + MARGIN,
        height=max((box.y for box in boxes), default=0) + BOX_HEIGHT + MARGIN,
        left_out=sum(map(len, known.values())) - len(edges),
    )


def _without_circles(after: Dependencies) -> dict[str, list[str]]:
    """Return the items, each behind its dependencies."""
    ordered: dict[str, list[str]] = {}
    entered: set[str] = set()
    for start in after:
        waiting = [start]
        while waiting:
            item = waiting[-1]
            new = [
                each
                for each in dict.fromkeys(after[item])
                if each in after and each not in entered
            ]
            if item not in entered:
                entered.add(item)
                waiting += [each for each in reversed(new) if each != item]
                continue
            waiting.pop()
            if item not in ordered:
                ordered[item] = [
                    each
                    for each in dict.fromkeys(after[item])
                    if each in ordered
                ]
    return ordered


def _columns(known: Dependencies) -> dict[str, int]:
    """Return the column of each item: the length of the longest path to it."""
    columns: dict[str, int] = {}
    for item, dependencies in known.items():
        columns[item] = max(
            (columns[each] + 1 for each in dependencies), default=0
        )
    return columns


def _drawn(known: Dependencies) -> dict[str, list[str]]:
    """Return the dependencies to draw: all of them, if they are few."""
    number = sum(map(len, known.values()))
    drawn = {item: list(each) for item, each in known.items()}
    if number > MANY_EDGES:
        drawn = _without_implied(known)
    columns = _columns(known)
    pairs = [(each, item) for item, those in drawn.items() for each in those]
    if len(pairs) <= MOST_EDGES:
        return drawn
    pairs.sort(key=lambda pair: columns[pair[1]] - columns[pair[0]])
    shortest: dict[str, list[str]] = {item: [] for item in drawn}
    for source, target in pairs[:MOST_EDGES]:
        shortest[target].append(source)
    return shortest


def _without_implied(known: Dependencies) -> dict[str, list[str]]:
    """Return the dependencies but those on what a dependency itself waits for."""
    reached: dict[str, set[str]] = {}
    needed: dict[str, list[str]] = {}
    for item, dependencies in known.items():
        behind: set[str] = set()
        for each in dependencies:
            behind |= reached[each]
        needed[item] = [each for each in dependencies if each not in behind]
        reached[item] = behind.union(dependencies)
    return needed


def _parts(drawn: Dependencies) -> list[list[str]]:
    """Return the connected parts of the graph, each in the order of its items."""
    neighbours: dict[str, list[str]] = {item: [] for item in drawn}
    for item, dependencies in drawn.items():
        for each in dependencies:
            neighbours[item].append(each)
            neighbours[each].append(item)
    part_of: dict[str, int] = {}
    for start in drawn:
        waiting = [start]
        while waiting:
            item = waiting.pop()
            if item not in part_of:
                part_of[item] = part_of.get(start, len(part_of))
                waiting += neighbours[item]
    parts: dict[int, list[str]] = defaultdict(list)
    for item in drawn:
        parts[part_of[item]].append(item)
    return list(parts.values())


def _band(
    part: Sequence[str], columns: Mapping[str, int], drawn: Dependencies
) -> Band:
    """Place the stops of a connected part."""
    edges = [(each, item) for item in part for each in drawn[item]]
    left = min(columns[item] for item in part)
    own = {item: columns[item] - left for item in part}
    links = _links(own, edges)
    rows = _sorted_rows(_rows(own, links), links)
    centres = _aligned(rows, links, own)
    top = min(centres[item, own[item]] for item in part) - BOX_HEIGHT / 2
    top = min(
        [top, *(centre - BEND_HEIGHT / 2 for centre in centres.values())]
    )
    centres = {stop: centre - top for stop, centre in centres.items()}
    lowest = max(
        centre + _height(stop, own) / 2 for stop, centre in centres.items()
    )
    return Band(columns=own, centres=centres, edges=edges, height=lowest)


class _Links:
    """The stops that a stop is connected with, on its left and on its right."""

    def __init__(self) -> None:
        self.left: dict[Stop, list[Stop]] = defaultdict(list)
        self.right: dict[Stop, list[Stop]] = defaultdict(list)

    def add(self, one: Stop, other: Stop) -> None:
        self.right[one].append(other)
        self.left[other].append(one)

    def around(self, stop: Stop) -> list[Stop]:
        return [*self.left[stop], *self.right[stop]]


def _links(
    columns: Mapping[str, int], edges: Iterable[tuple[str, str]]
) -> _Links:
    """Connect the stops of neighbouring columns."""
    reach: dict[str, int] = {}
    targets: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        targets[source].append(target)
        reach[source] = max(reach.get(source, 0), columns[target] - 1)
    bends = sum(reach[source] - columns[source] for source in reach)
    links = _Links()
    for source, last in reach.items():
        first = columns[source]
        if bends <= MOST_BENDS:
            for column in range(first, last):
                links.add((source, column), (source, column + 1))
        for target in targets[source]:
            column = columns[target]
            if column == first + 1 or bends <= MOST_BENDS:
                links.add((source, column - 1), (target, column))
    return links


def _rows(columns: Mapping[str, int], links: _Links) -> list[list[Stop]]:
    """Return the stops of each column, in the order of their items."""
    rows: list[list[Stop]] = [[] for _ in range(max(columns.values()) + 1)]
    for item, column in columns.items():
        stop = (item, column)
        while True:
            rows[stop[1]].append(stop)
            after = (item, stop[1] + 1)
            if after not in links.right[stop]:
                break
            stop = after
    return rows


def _sorted_rows(rows: list[list[Stop]], links: _Links) -> list[list[Stop]]:
    """Sort the columns by the places of their neighbours; return the best order."""
    best, fewest = rows, _crossings(rows, links)
    for sorting in range(SORTINGS):
        if not fewest:
            break
        rows = list(rows)
        forward = sorting % 2 == 0
        steps = (
            range(1, len(rows)) if forward else range(len(rows) - 2, -1, -1)
        )
        sides = links.left if forward else links.right
        for column in steps:
            beside = rows[column - 1 if forward else column + 1]
            rows[column] = _sorted_row(rows[column], beside, sides)
        crossings = _crossings(rows, links)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _sorted_row(
    row: Sequence[Stop],
    beside: Sequence[Stop],
    sides: Mapping[Stop, Sequence[Stop]],
) -> list[Stop]:
    places = {stop: place / len(beside) for place, stop in enumerate(beside)}
    means = {}
    for place, stop in enumerate(row):
        found = [places[each] for each in sides[stop]]
        means[stop] = sum(found) / len(found) if found else place / len(row)
    return sorted(row, key=lambda stop: means[stop])


def _crossings(rows: Sequence[Sequence[Stop]], links: _Links) -> int:
    """Return how often two connections of neighbouring columns cross."""
    number = 0
    for row, after in pairwise(rows):
        places = {stop: place for place, stop in enumerate(after)}
        passed: list[int] = []
        for stop in row:
            ends = sorted(places[each] for each in links.right[stop])
            number += sum(len(passed) - bisect(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return number


def _aligned(
    rows: Sequence[Sequence[Stop]], links: _Links, columns: Mapping[str, int]
) -> dict[Stop, float]:
    """Return the centres of the stops: near their neighbours, without overlaps."""
    offsets = {}
    centres: dict[Stop, float] = {}
    for row in rows:
        total, own = 0.0, []
        for stop in row:
            half = (_height(stop, columns) + ROW_GAP) / 2
            own.append(total + half)
            total += 2 * half
        for stop, offset in zip(row, own, strict=True):
            offsets[stop] = offset
            centres[stop] = offset - total / 2
    sides = (
        links.left.__getitem__,
        links.right.__getitem__,
        links.around,
    )
    for turn in range(ALIGNMENTS):
        side = sides[turn % 3]
        for row in rows[::-1] if turn % 3 == 1 else rows:
            wanted = [
                _mean(stop, side(stop), centres) - offsets[stop]
                for stop in row
            ]
            for stop, place in zip(row, _ascending(wanted), strict=True):
                centres[stop] = place + offsets[stop]
    return centres


def _mean(
    stop: Stop,
    neighbours: Sequence[Stop],
    centres: Mapping[Stop, float],
) -> float:
    """Return the centre that a stop should have; a long curve prefers to be straight."""
    total = weights = 0.0
    for each in neighbours:
        weight = STRAIGHTNESS if each[0] == stop[0] else 1
        total += weight * centres[each]
        weights += weight
    return total / weights if weights else centres[stop]


def _ascending(wanted: Iterable[float]) -> list[float]:
    """Return the ascending numbers that are nearest to the given ones.

    Neighbours in the wrong order all get their mean.
    """
    blocks: list[tuple[float, int]] = []
    for each in wanted:
        mean, number = each, 1
        while blocks and blocks[-1][0] > mean:
            before, count = blocks.pop()
            mean = (mean * number + before * count) / (number + count)
            number += count
        blocks.append((mean, number))
    return [mean for mean, number in blocks for _ in range(number)]


def _is_box(stop: Stop, columns: Mapping[str, int]) -> bool:
    return columns[stop[0]] == stop[1]


def _height(stop: Stop, columns: Mapping[str, int]) -> int:
    return BOX_HEIGHT if _is_box(stop, columns) else BEND_HEIGHT


def _boxes(band: Band, top: int) -> list[GraphBox]:
    return [
        GraphBox(
            id=item,
            x=MARGIN + PITCH * column,
            y=top + round(band.centres[item, column]) - BOX_HEIGHT // 2,
        )
        for item, column in band.columns.items()
    ]


def _edges(band: Band, top: int) -> list[GraphEdge]:
    return [
        GraphEdge(
            source=source, target=target, path=_path(band, source, target, top)
        )
        for source, target in band.edges
    ]


def _path(band: Band, source: str, target: str, top: int) -> str:
    """Return the curve from the right side of a box to the left side of another."""
    first, last = band.columns[source], band.columns[target]
    stops = [(source, column) for column in range(first, last)]
    stops = [stop for stop in stops if stop in band.centres]
    x, y = _right(first), top + round(band.centres[source, first])
    words = [f"M{x} {y}"]
    for stop in [*stops[1:], (target, last)]:
        column = stop[1]
        left, centre = MARGIN + PITCH * column, top + round(band.centres[stop])
        if centre == y:
            words.append(f"H{left}")
        else:
            near, far = x + REACH, left - REACH
            words.append(f"C{near} {y} {far} {centre} {left} {centre}")
        x, y = left, centre
        if stop[0] == source:
            x = _right(column)
            words.append(f"H{x}")
    return "".join(words)


def _right(column: int) -> int:
    return MARGIN + PITCH * column + BOX_WIDTH


def _grid(items: Sequence[str], top: int, right: int) -> list[GraphBox]:
    """Place items in rows that are as wide as the bands above, or wider."""
    columns = max(GRID_COLUMNS, (right - MARGIN) // PITCH + 1)
    return [
        GraphBox(
            id=item,
            x=MARGIN + PITCH * (place % columns),
            y=top + (BOX_HEIGHT + ROW_GAP) * (place // columns),
        )
        for place, item in enumerate(items)
    ]
