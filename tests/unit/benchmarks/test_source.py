"""`make measure` counts what it says, and the source keeps its fixed measures."""

from pathlib import Path

import pytest

from benchmarks import source

TEXT = '''"""A module."""


class Lease:
    """What is held by whoever claimed it."""

    def end(self) -> None:
        """End the lease."""
        self._forget()

    def _forget(self) -> None:
        pass


def outer() -> int:
    """Add numbers."""
    # a comment is no line of code

    total = 1 + 2
    return total
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> source.Module:
    """A module with one of everything that is measured."""
    monkeypatch.setattr(source, "ROOT", tmp_path)
    file = tmp_path / "package" / "lease.py"
    file.parent.mkdir()
    file.write_text(TEXT)
    return source.Module(file, tmp_path)


def test_density_counts_nodes_of_bodies_only(module: source.Module) -> None:
    nodes, lines = source.body_lines(module)

    assert lines == 4
    assert nodes == 17


def test_private_function_called_once_is_named(module: source.Module) -> None:
    assert [place.text for place in source.used_once([module])] == ["_forget"]


def test_translated_phrase_is_found_in_docstrings(
    module: source.Module,
) -> None:
    (place,) = source.odd_docstrings([module])

    assert "'What is'" in place.text


def test_modules_importing_each_other_form_a_circle() -> None:
    imported = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}

    assert source.circles(imported) == {"a", "b", "c"}


def test_longest_chain_of_imports_is_counted() -> None:
    assert source.import_depth({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == 3


def test_no_class_name_has_two_meanings() -> None:
    assert source.twins(source.modules()) == {}


def test_journey_leads_from_main_to_the_socket() -> None:
    frames, files = source.journey("worker", "check")

    assert frames[0] == "main"
    assert frames[-1] == "Socket.ask"
    assert files[0] == "worker/taskorch_worker/cli.py"
    assert "shared/taskorch/transport/socket.py" in files
