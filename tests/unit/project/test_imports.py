"""The import rules of docs/architecture.md, checked in the source of every file.

A deferred import, inside a function, counts like any other.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = {
    "taskorch": "shared",
    "taskorch_worker": "worker",
    "taskorch_orchestrator": "orchestrator",
    "taskorch_gateway": "gateway",
}

#: Part of `taskorch` -> our modules that it may import. A name covers its submodules.
SHARED = {
    "taskorch": (
        "taskorch.version",
        "taskorch.domain",
        "taskorch.queue",
        "taskorch.connections",
        "taskorch.library",
    ),
    "taskorch.domain": (),
    "taskorch.version": (),
    "taskorch.checkout": (),
    "taskorch.output_reader": (),
    "taskorch.config": ("taskorch.domain",),
    "taskorch.acceptance": (
        "taskorch.domain",
        "taskorch.config",
        "taskorch.output_reader",
    ),
    "taskorch.queue": (
        "taskorch.domain",
        "taskorch.version",
        "taskorch.tracing",
    ),
    "taskorch.tracing": ("taskorch.domain", "taskorch.version"),
    "taskorch.transport": (
        "taskorch.domain",
        "taskorch.config",
        "taskorch.queue.port",
    ),
    "taskorch.bundled": (
        "taskorch.domain",
        "taskorch.config",
        "taskorch.transport",
        "taskorch.queue.port",
    ),
    "taskorch.connections": (
        "taskorch.domain",
        "taskorch.config",
        "taskorch.transport",
        "taskorch.bundled",
        "taskorch.queue.port",
    ),
    "taskorch.library": (
        "taskorch.acceptance",
        "taskorch.domain",
        "taskorch.config",
        "taskorch.queue",
        "taskorch.transport",
        "taskorch.connections",
    ),
    "taskorch.cli": (
        "taskorch.domain",
        "taskorch.config",
        "taskorch.version",
        "taskorch.tracing.switch",
    ),
    "taskorch.mcp": (
        "taskorch.domain",
        "taskorch.config",
        "taskorch.queue",
        "taskorch.connections",
        "taskorch.cli.json_output",
        "taskorch.version",
    ),
}
FEATURES = (
    "mirror",
    "migrate",
    "backup",
    "doctor",
    "plan",
    "setup",
    "service",
    "metrics",
    "notify",
    "schedule",
    "trackers",
)
FEATURES_BELOW = {
    "migrate": ("mirror",),
    "schedule": ("plan",),
    "service": ("mirror", "backup", "metrics", "notify", "schedule"),
}
#: What rendering does not import: it prints results of other modules.
MACHINERY = (
    "taskorch.transport",
    "taskorch.bundled",
    "taskorch.connections",
    "taskorch.config",
    "taskorch.mcp",
    "taskorch.queue.queue",
    "taskorch.queue.agent_queue",
    "taskorch.queue.views",
    "taskorch.queue.scripts",
    "taskorch.queue.port",
    "taskorch.queue.waits",
    "taskorch_worker.session",
    "taskorch_worker.context",
    "taskorch_orchestrator.context",
)
#: Library -> where it may be imported.
LIBRARIES = {
    "click": ("taskorch.cli", "*.cli", "*.group", "*.context", "*.commands"),
    "rich": ("*.render", "*.watch"),
    "pydantic": (
        "taskorch_worker.run.outcome",
        "taskorch_orchestrator.plan",
        "taskorch_orchestrator.backup",
        "taskorch_orchestrator.mirror.file_models",
    ),
    "rq": ("taskorch_orchestrator.service.rq_jobs",),
    "redis": (
        "taskorch.transport.failover",
        "taskorch_orchestrator.service.rq_jobs",
    ),
    "starlette": ("taskorch_gateway",),
    "jinja2": (
        "taskorch_gateway.board.pages",
        "taskorch_gateway.board.template_code",
    ),
    "markupsafe": ("taskorch_gateway.board",),
    "uvicorn": (
        "taskorch_gateway.server",
        "taskorch_gateway.bounded_http",
    ),
    "opentelemetry": ("taskorch.tracing.tracer",),
    "prometheus_client": (
        "taskorch_orchestrator.metrics",
        "taskorch_gateway.metrics",
    ),
    "mcp": (),
    "cronsim": ("taskorch_orchestrator.schedule.cron",),
}


@dataclass(frozen=True)
class Import:
    """One import: the module that has it, and what it imports."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        """Return the file, the line and the import, as an editor opens it."""
        folder = PACKAGES[self.importer.partition(".")[0]]
        file = ROOT / folder / (self.importer.replace(".", "/") + ".py")
        if not file.exists():
            file = file.with_suffix("") / "__init__.py"
        return f"{file.relative_to(ROOT)}:{self.line} imports {self.imported}"


def modules() -> dict[str, Path]:
    """Return all our modules by their full names."""
    found = {}
    for package, folder in PACKAGES.items():
        for file in (ROOT / folder / package).rglob("*.py"):
            name = ".".join(
                file.relative_to(ROOT / folder).with_suffix("").parts
            )
            found[name.removesuffix(".__init__")] = file
    return found


MODULES = modules()


def imports() -> Iterator[Import]:
    for module, file in MODULES.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (
                    Import(module, alias.name, node.lineno)
                    for alias in node.names
                )
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file} has a relative import"
                for alias in node.names:
                    submodule = f"{node.module}.{alias.name}"
                    yield Import(
                        module,
                        submodule
                        if submodule in MODULES
                        else str(node.module),
                        node.lineno,
                    )


IMPORTS = tuple(imports())


def below(module: str, *parts: str) -> bool:
    """Return whether a module is one of the parts, or below one.

    `*.render` is that of any package.
    """
    for part in parts:
        package, _, rest = part.partition(".")
        name = f"{module.partition('.')[0]}.{rest}" if package == "*" else part
        if module == name or module.startswith(f"{name}."):
            return True
    return False


def is_ours(module: str) -> bool:
    return module.partition(".")[0] in PACKAGES


def part_of(module: str) -> str:
    """Return the part of `taskorch` that a module belongs to."""
    return next(
        (
            part
            for part in SHARED
            if part != "taskorch" and below(module, part)
        ),
        "taskorch",
    )


def breaks_a_layer_of_shared(one: Import) -> bool:
    if not below(one.importer, "taskorch") or not is_ours(one.imported):
        return False
    part = part_of(one.importer)
    return (
        one.imported != "taskorch"
        and not below(one.imported, *SHARED[part])
        and part_of(one.imported) != part
    )


def imports_the_public_names(one: Import) -> bool:
    """Return whether one of us uses the names for others, which import all of us."""
    return one.imported == "taskorch"


def mixes_the_roles(one: Import) -> bool:
    other = {
        "taskorch_worker": "taskorch_orchestrator",
        "taskorch_orchestrator": "taskorch_worker",
    }
    role = one.importer.partition(".")[0]
    return role in other and below(one.imported, other[role])


def imports_the_gateway(one: Import) -> bool:
    """Return whether a package imports the one that stands on top of all others."""
    return below(one.imported, "taskorch_gateway") and not below(
        one.importer, "taskorch_gateway"
    )


def lets_a_worker_orchestrate(one: Import) -> bool:
    return below(one.importer, "taskorch_worker") and below(
        one.imported, "taskorch.queue.queue", "taskorch.queue.views"
    )


def starts_above_the_lowest_root(one: Import) -> bool:
    return below(one.importer, "taskorch") and below(
        one.imported, "taskorch_worker", "taskorch_orchestrator"
    )


def joins_two_features(one: Import) -> bool:
    package, feature, *_ = [*one.importer.split("."), ""]
    if package != "taskorch_orchestrator" or feature not in FEATURES:
        return False
    others = [
        name
        for name in FEATURES
        if name != feature and name not in FEATURES_BELOW.get(feature, ())
    ]
    return below(
        one.imported, *(f"taskorch_orchestrator.{name}" for name in others)
    )


def renders_with_machinery(one: Import) -> bool:
    return below(one.importer, "*.render") and below(one.imported, *MACHINERY)


def imports_a_command(one: Import) -> bool:
    if below(one.importer, "*.cli", "*.commands") and not below(
        one.importer, "taskorch"
    ):
        return False
    return below(
        one.imported,
        "taskorch_worker.commands",
        "taskorch_worker.cli",
        "taskorch_orchestrator.commands",
        "taskorch_orchestrator.cli",
    )


def imports_a_library_elsewhere(one: Import) -> bool:
    library = one.imported.partition(".")[0]
    return library in LIBRARIES and not below(
        one.importer, *LIBRARIES[library]
    )


RULES = (
    breaks_a_layer_of_shared,
    imports_the_public_names,
    mixes_the_roles,
    imports_the_gateway,
    lets_a_worker_orchestrate,
    starts_above_the_lowest_root,
    joins_two_features,
    renders_with_machinery,
    imports_a_command,
    imports_a_library_elsewhere,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_import_breaks_a_rule(rule: Callable[[Import], bool]) -> None:
    assert [str(one) for one in IMPORTS if rule(one)] == []


def test_shared_names_no_module_of_a_role() -> None:
    roles = ("taskorch_worker", "taskorch_orchestrator", "taskorch_gateway")

    naming = [
        name
        for name, file in MODULES.items()
        if below(name, "taskorch")
        and any(role in file.read_text(encoding="utf-8") for role in roles)
    ]

    assert naming == []


def in_circles() -> set[str]:
    """Return the modules that reach themselves through what they import."""
    imported_by = {
        module: {one.imported for one in IMPORTS if one.importer == module}
        for module in MODULES
    }

    def reached(module: str) -> set[str]:
        found: set[str] = set()
        waiting = [module]
        while waiting:
            new = imported_by.get(waiting.pop(), set()) - found
            found |= new
            waiting += new
        return found

    return {module for module in MODULES if module in reached(module)}


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert in_circles() == set()


def test_an_init_holds_a_docstring_alone() -> None:
    inits = [
        file
        for name, file in MODULES.items()
        if file.name == "__init__.py" and name != "taskorch"
    ]

    assert [
        file
        for file in inits
        if len(ast.parse(file.read_text(encoding="utf-8")).body) > 1
    ] == []
