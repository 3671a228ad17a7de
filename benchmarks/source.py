"""`make measure`: how the source reads, in numbers; `--list PART` names the places behind them.

Nothing here is a limit but what the tests and ruff hold: no circle of imports, one
class per name, a complexity of at most 10. The other numbers say where to look.
"""

import argparse
import ast
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "taskorch": ROOT / "shared",
    "taskorch_worker": ROOT / "worker",
    "taskorch_orchestrator": ROOT / "orchestrator",
    "taskorch_gateway": ROOT / "gateway",
}
#: What read as translated in the first version. Each is a word for a person to look at,
#: not an error by itself.
PHRASES = re.compile(
    r"\bso (many|long|much)\b"
    r"|\b(what|who) (is|was|are|were) there\b|\bwhoever\b|(^|[.:] )(what|who) [a-z]+"
    r"|\bis none\b|\bbe it\b"
    r"|\b(told|said|heard)\b"
    r"|\bmend(s|ed|ing)?\b"
    r"|\b(is|are|was) away\b"
    r"|\b(goes|comes?|came)\b"
    r"|\banew\b|\bmeanwhile\b|\bat once\b"
    r"|\bsomebody\b|\bnobody\b|\banother's\b|\banother one's\b",
    re.IGNORECASE | re.MULTILINE,
)
#: From where on `--list` names a function, and a file.
COMPLEX, DENSE = 8, 8.5
#: A command whose path through the source is measured: what it is given, on a queue
#: with an item for it.
JOURNEYS = (
    ("worker", "check"),
    ("worker", "pop"),
    ("orchestrate", "projects"),
)

#: Runs a command in this process. Prints our frames on the stack when its first request
#: is sent, and the files of ours whose functions ran before it; imports do not count.
JOURNEY = """
import json, os, sys
folders = tuple(sys.argv.pop(1).split(os.pathsep))
ran, journey = {}, []

def ours(frame):
    while frame:
        if frame.f_code.co_filename.startswith(folders):
            yield frame.f_code
        frame = frame.f_back

def watch(frame, event, argument):
    global journey
    if event == "call" and frame.f_code.co_filename.startswith(folders):
        if all(code.co_flags & 2 for code in ours(frame)):  # no module, no class
            ran[frame.f_code.co_filename] = True
    elif event == "c_call" and argument.__name__ in ("send", "sendall", "sendmsg"):
        stack = [code.co_qualname for code in ours(frame)]
        journey = journey or [stack[::-1], list(ran)]

def exit(code):
    sys.setprofile(None)
    sys.stderr.write("\\n" + json.dumps(journey) + "\\n")
    sys.stderr.flush()
    end(code)

end, os._exit = os._exit, exit
from importlib import import_module
name, sys.argv = sys.argv[1], sys.argv[1:]
package = {"worker": "taskorch_worker", "orchestrate": "taskorch_orchestrator"}[name]
main = import_module(package + ".cli").main
sys.setprofile(watch)
main()
"""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Place:
    """A line of a file, and a remark on it."""

    file: Path
    line: int
    text: str

    def __str__(self) -> str:
        """Name the place as an editor can open it."""
        return f"{self.file.relative_to(ROOT)}:{self.line}: {self.text}"


class Module:
    """One file of the source, parsed."""

    def __init__(self, file: Path, folder: Path) -> None:
        self.file = file
        parts = file.relative_to(folder).with_suffix("").parts
        self.name = ".".join(parts).removesuffix(".__init__")
        self.text = file.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All syntax nodes of the file."""
        return tuple(ast.walk(self.tree))

    def functions(self) -> Iterator[Function]:
        """Yield the functions and methods, those inside of others too."""
        for node in self.nodes:
            if isinstance(node, Function):
                yield node

    def docstrings(self) -> Iterator[Place]:
        """Yield each docstring, with its line."""
        for node in self.nodes:
            if not isinstance(node, ast.Module | ast.ClassDef | Function):
                continue
            if text := ast.get_docstring(node):
                yield Place(self.file, node.body[0].lineno, text)

    def classes(self) -> Iterator[ast.ClassDef]:
        """Yield the classes of the module, not those inside of functions."""
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef):
                yield node


def modules() -> list[Module]:
    """Return all modules of the three packages."""
    return [
        Module(file, folder)
        for package, folder in FOLDERS.items()
        for file in sorted((folder / package).rglob("*.py"))
    ]


def files_per_folder(source: list[Module]) -> Counter[str]:
    """Return the number of modules directly in each folder."""
    return Counter(
        str(module.file.parent.relative_to(ROOT))
        for module in source
        if module.file.name != "__init__.py"
    )


def imports(source: list[Module]) -> dict[str, set[str]]:
    """Return module -> the modules of ours that it imports, deferred ones too."""
    names = {module.name for module in source}
    found: dict[str, set[str]] = {}
    for module in source:
        imported = set()
        for node in module.nodes:
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    below = f"{node.module}.{alias.name}"
                    imported.add(below if below in names else str(node.module))
        found[module.name] = imported & names
    return found


def circles(imported: dict[str, set[str]]) -> set[str]:
    """Return the modules that import themselves by way of others."""
    return {name for name in imported if name in reached(name, imported)}


def reached(name: str, imported: dict[str, set[str]]) -> set[str]:
    """Return what a module imports, and what that imports, and so on."""
    found: set[str] = set()
    open_ends = [name]
    while open_ends:
        new = imported[open_ends.pop()] - found
        found |= new
        open_ends += new
    return found


def import_depth(imported: dict[str, set[str]]) -> int:
    """Return the length of the longest chain of imports, circles left out."""
    lengths: dict[str, int] = {}

    def length(name: str, above: frozenset[str]) -> int:
        if name not in lengths:
            below = imported[name] - above - {name}
            lengths[name] = 1 + max(
                (length(each, above | {name}) for each in below), default=0
            )
        return lengths[name]

    return max(length(name, frozenset()) for name in imported)


def twins(source: list[Module]) -> dict[str, list[Place]]:
    """Return the public class names that mean more than one thing.

    A class that extends one of its own name, as `module.Name`, is the same thing.
    """
    found: dict[str, list[Place]] = {}
    for module in source:
        for each in module.classes():
            if not each.name.startswith("_") and not _extends_its_name(each):
                found.setdefault(each.name, []).append(
                    Place(module.file, each.lineno, each.name)
                )
    return {name: places for name, places in found.items() if len(places) > 1}


def _extends_its_name(definition: ast.ClassDef) -> bool:
    return any(
        isinstance(base, ast.Attribute) and base.attr == definition.name
        for base in definition.bases
    )


def complexities() -> list[tuple[int, Place]]:
    """Return the cyclomatic complexity of each function, as ruff counts it."""
    ruff = str(Path(sys.executable).parent / "ruff")
    every = ("--select", "C901", "--config", "lint.mccabe.max-complexity=0")
    form = ("--output-format", "json", "--exit-zero")
    ran = subprocess.run(
        [
            ruff,
            "check",
            "--isolated",
            *every,
            *form,
            *map(str, FOLDERS.values()),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found = []
    for each in json.loads(ran.stdout):
        name, number = re.findall(
            r"`(.+)` is too complex \((\d+) > 0\)", each["message"]
        )[0]
        place = Place(
            Path(each["filename"]), each["location"]["row"], f"{name} {number}"
        )
        found.append((int(number), place))
    return sorted(found, key=lambda pair: -pair[0])


def body_lines(module: Module) -> tuple[int, int]:
    """Return the syntax nodes in the bodies of a module's functions, and the lines of code that hold them."""
    lines = module.text.splitlines()
    nodes, held = 0, set()
    inside: set[ast.AST] = set()
    for function in module.functions():
        if function in inside:
            continue
        for statement in function.body[
            1 if ast.get_docstring(function) else 0 :
        ]:
            within = tuple(ast.walk(statement))
            inside.update(within)
            nodes += len(within)
            held |= set(
                range(statement.lineno, (statement.end_lineno or 0) + 1)
            )
    code = [
        line
        for line in held
        if lines[line - 1].strip()
        and not lines[line - 1].strip().startswith("#")
    ]
    return nodes, len(code)


def density(source: list[Module]) -> float:
    """Return the syntax nodes per line of code in functions."""
    counts = [body_lines(module) for module in source]
    return sum(nodes for nodes, _ in counts) / max(
        1, sum(lines for _, lines in counts)
    )


def used_once(source: list[Module]) -> list[Place]:
    """Return the private functions and methods that only one place names."""
    found = []
    for module in source:
        uses = Counter(
            node.id for node in module.nodes if isinstance(node, ast.Name)
        )
        uses += Counter(
            node.attr
            for node in module.nodes
            if isinstance(node, ast.Attribute)
        )
        found += [
            Place(module.file, function.lineno, function.name)
            for function in module.functions()
            if re.match(r"_[^_]", function.name) and uses[function.name] == 1
        ]
    return found


def odd_docstrings(source: list[Module]) -> list[Place]:
    """Return the docstrings that have one of the phrases."""
    return [
        Place(
            each.file,
            each.line,
            f"{found[0].strip()!r} in {each.text.splitlines()[0]}",
        )
        for module in source
        for each in module.docstrings()
        if (found := PHRASES.search(each.text))
    ]


def journey(*command: str) -> tuple[list[str], list[str]]:
    """Run a command, and return our frames from `main` to the socket, and the files.

    A file counts if one of its functions ran before the first request was sent.
    """
    with TemporaryDirectory() as place:
        variables = {"TASKORCH_ROOT": place, "AGENT_ID": "ada", "HOME": place}
        variables |= {
            "PYTHONPATH": os.pathsep.join(map(str, FOLDERS.values()))
        }
        variables |= {"PATH": os.environ["PATH"]}
        folders = os.pathsep.join(f"{folder}/" for folder in FOLDERS.values())

        def run(code: str, *words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-c", code, *words],
                capture_output=True,
                text=True,
                check=True,
                cwd=place,
                env=variables,
            )

        def orchestrate(*words: str) -> str:
            code = "from taskorch_orchestrator.cli import main; main()"
            return run(code, *words).stdout.strip()

        try:
            project = orchestrate("project", "A project")
            for _ in range(
                2
            ):  # the first run creates files that the second one finds
                orchestrate("create", project, "An item", "--assign", "ada")
                ran = run(JOURNEY, folders, *command)
        finally:
            orchestrate("server", "stop")
    frames, files = json.loads(ran.stderr.splitlines()[-1])
    return frames, [str(Path(file).relative_to(ROOT)) for file in files]


def table(source: list[Module]) -> Iterator[tuple[str, str]]:
    """Yield each measure and its number."""
    imported = imports(source)
    hits, docstrings = (
        odd_docstrings(source),
        sum(len(list(module.docstrings())) for module in source),
    )
    functions = sum(len(list(module.functions())) for module in source)
    folders = files_per_folder(source)
    yield (
        "modules",
        f"{folders.total()} in {len(folders)} folders, at most {max(folders.values())} in one",
    )
    yield (
        "lines",
        f"{sum(len(module.text.splitlines()) for module in source):,}",
    )
    yield "longest chain of imports", str(import_depth(imported))
    yield "modules in a circle of imports", str(len(circles(imported)))
    yield "class names with two meanings", str(len(twins(source)))
    yield "highest cyclomatic complexity", str(complexities()[0][0])
    yield "syntax nodes per line of a body", f"{density(source):.2f}"
    yield (
        "private functions used once",
        f"{len(used_once(source))} of {functions}",
    )
    yield (
        "docstrings with a phrase of the list",
        f"{len(hits)} of {docstrings}",
    )
    for command in JOURNEYS:
        frames, files = journey(*command)
        measure = f"`{' '.join(command)}`, from main to the socket"
        yield measure, f"{len(frames)} frames, {len(files)} files"


def places(source: list[Module]) -> Iterator[str]:
    """Yield what is behind the numbers, a place per line."""
    for name, found in twins(source).items():
        yield from (
            f"{place} has the name of another class" for place in found if name
        )
    yield from (
        f"{place} is complex"
        for number, place in complexities()
        if number > COMPLEX
    )
    for module in source:
        nodes, lines = body_lines(module)
        if lines and nodes / lines > DENSE:
            yield f"{Place(module.file, 1, f'{nodes / lines:.1f} nodes per line of {lines}')}"
    yield from (f"{place} is used once" for place in used_once(source))
    yield from map(str, odd_docstrings(source))


def main() -> None:
    """Print the table, the places below a folder, or the journey of a command."""
    parser = argparse.ArgumentParser(prog="make measure", description=__doc__)
    parser.add_argument(
        "--list",
        metavar="PART",
        help="Places below this folder, such as shared/taskorch/queue.",
    )
    parser.add_argument(
        "--journey",
        metavar="COMMAND",
        help='Frames and files, such as "worker pop".',
    )
    options = parser.parse_args()
    source = modules()
    if options.journey:
        frames, files = journey(*options.journey.split())
        lines = ["Frames:", *frames, "", "Files:", *files]
    elif options.list is not None:
        lines = [
            place for place in places(source) if place.startswith(options.list)
        ]
    else:
        lines = [
            f"| {measure} | {number} |" for measure, number in table(source)
        ]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
