"""The files of lock/ are held against pyproject.toml, and never against what a registry serves or a machine has."""

import itertools
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[3]
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = {
    "runtime": (),
    "image": ("gateway",),
    "dev": ("dev", "gateway", "otel"),
    "bench": tuple(PROJECT["optional-dependencies"]),
}
LOCKS = [*EXTRAS, "build"]
#: Each entry: its requirement, its hashes, and the line that says which package asks
#: for it.
ENTRY = re.compile(
    r"^(?P<pin>[a-z0-9].*?)(?P<hashes>(?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n    # via (?P<via>.*)$",
    re.MULTILINE,
)
SYSTEMS = [
    {
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "python_version": python.rpartition(".")[0],
        "python_full_version": python,
        "sys_platform": system,
        "platform_system": {"linux": "Linux", "darwin": "Darwin"}[system],
        "os_name": "posix",
        "platform_machine": machine,
    }
    for python, (system, machine) in itertools.product(
        ("3.11.0", "3.11.3", "3.12.0", "3.13.0", "3.14.0"),
        (
            ("linux", "x86_64"),
            ("linux", "aarch64"),
            ("darwin", "x86_64"),
            ("darwin", "arm64"),
        ),
    )
]


class Pin(NamedTuple):
    """A package in a lock."""

    requirement: Requirement
    via: str

    @property
    def name(self) -> str:
        """Return the name as registries compare it."""
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        """Return the only version that is allowed."""
        (only,) = self.requirement.specifier
        assert only.operator == "=="
        return only.version

    def holds(self, system: dict[str, str]) -> bool:
        """Return whether it is installed on a system."""
        return (
            self.requirement.marker is None
            or self.requirement.marker.evaluate(system)
        )


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_pins_with_hashes_and_nothing_else(lock: str) -> None:
    text = _text(lock)

    left = ENTRY.sub("", text)

    assert [
        line for line in left.splitlines() if line and not line.startswith("#")
    ] == []
    assert "://" not in text


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_satisfies_pyproject_on_every_system(lock: str) -> None:
    for system in SYSTEMS:
        pins = [pin for pin in _pins(lock) if pin.holds(system)]
        versions = {pin.name: pin.version for pin in pins}

        wanted = [
            each
            for each in _wanted(lock)
            if each.marker is None or each.marker.evaluate(system)
        ]

        assert len(versions) == len(pins), system
        for requirement in wanted:
            version = versions[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), (
                requirement,
                system,
            )


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_dependencies_of_pyproject_only(lock: str) -> None:
    asked_for = {pin.name for pin in _pins(lock) if _is_direct(pin, lock)}

    assert asked_for == {
        canonicalize_name(requirement.name) for requirement in _wanted(lock)
    }


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_agree_on_versions(lock: str) -> None:
    largest = {str(pin.requirement) for pin in _pins("bench")}

    assert {str(pin.requirement) for pin in _pins(lock)} <= largest


def _text(lock: str) -> str:
    return (REPOSITORY / "lock" / f"{lock}.txt").read_text()


def _pins(lock: str) -> list[Pin]:
    return [
        Pin(Requirement(entry["pin"]), entry["via"])
        for entry in ENTRY.finditer(_text(lock))
    ]


def _is_direct(pin: Pin, lock: str) -> bool:
    """Return whether pyproject.toml asks for a package, and not only another package."""
    return (
        "pyproject.toml" in pin.via
        if lock != "build"
        else pin.via == "-c lock/bench.txt"
    )


def _wanted(lock: str) -> Iterable[Requirement]:
    """Return what pyproject.toml asks for in the environment of a lock."""
    if lock == "build":
        return [
            Requirement(each) for each in PYPROJECT["build-system"]["requires"]
        ]
    extras = [
        PROJECT["optional-dependencies"][extra] for extra in EXTRAS[lock]
    ]
    return [
        Requirement(each)
        for each in itertools.chain(PROJECT["dependencies"], *extras)
    ]
