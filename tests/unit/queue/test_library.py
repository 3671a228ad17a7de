"""The library of functions: its text, and the hash in its name."""

import os
import re
from pathlib import Path

import pytest
from lupa.lua51 import LuaRuntime  # type: ignore[import-untyped]
from taskorch.queue import library, scripts

#: Local variables that the parts of the prelude leave of the 200 that Lua allows.
ROOM = 30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of scripts, of which the hash is known."""
    (tmp_path / "prelude").mkdir()
    (tmp_path / "prelude" / "call.lua").write_text("local now")
    (tmp_path / "claim.lua").write_text("return 1")
    hash_of(tmp_path)
    return tmp_path


def hash_of(folder: Path, composition: str = "") -> str:
    source = folder / "composition.py"
    if not source.exists() or source.read_text() != composition:
        source.write_text(composition)
    return library.hash_of(str(folder), [str(source)], lambda: composition)


def cache(folder: Path) -> Path:
    return folder / "__pycache__" / "library"


def test_every_script_is_a_function() -> None:
    text = scripts.library_text()

    named = re.findall(r"function_name = '(\w+)'", text)

    digits = scripts.library_hash()
    assert set(named) == {
        f"{name}_{digits}" for name in (*scripts.names(), "called_at")
    }
    assert len(named) == len(set(named))
    assert text.startswith(f"#!lua name=taskorch_{digits}\n")


def test_only_reads_are_declared_to_write_nothing() -> None:
    text = scripts.library_text()

    reads = re.findall(r"'(\w+)_\w+', flags = \{'no-writes'\}", text)

    assert set(reads) == {*scripts.READS, "called_at"}


def test_scripts_that_free_memory_are_listed() -> None:
    frees = re.compile(r"^end, .*\btrue\)$", re.MULTILINE)

    found = {
        name for name in scripts.names() if frees.search(scripts.source(name))
    }

    assert found == scripts.FREES_MEMORY


def test_library_has_room_for_local_variables() -> None:
    _, _, lua = scripts.library_text().partition("\n")
    more = ", ".join(f"more_{number}" for number in range(ROOM))

    LuaRuntime().compile(f"local {more}\n{lua}")


@pytest.mark.parametrize("file", ["claim.lua", "prelude/call.lua", "new.lua"])
def test_hash_changes_with_each_file(folder: Path, file: str) -> None:
    before = hash_of(folder)

    (folder / file).write_text("return 2")

    assert hash_of(folder) != before


def test_hash_changes_with_the_composition(folder: Path) -> None:
    assert hash_of(folder, "one") != hash_of(folder, "other")


def test_cached_hash_is_that_of_the_files(folder: Path) -> None:
    cached = hash_of(folder)

    cache(folder).unlink()

    assert hash_of(folder) == cached


def test_cached_hash_is_used_for_unchanged_files(folder: Path) -> None:
    digits, _, seen = cache(folder).read_text().partition("\n")
    cache(folder).write_text(f"0123456789abcdef\n{seen}")

    cached = hash_of(folder)

    assert digits != "0123456789abcdef"
    assert cached == "0123456789abcdef"


def test_torn_cache_is_ignored(folder: Path) -> None:
    whole = hash_of(folder)
    cache(folder).write_text(cache(folder).read_text()[:-1])

    assert hash_of(folder) == whole


def test_cache_that_cannot_be_written_is_left_out(folder: Path) -> None:
    before = hash_of(folder)
    cache(folder).unlink()
    cache(folder).mkdir()

    assert hash_of(folder) == before


def test_cache_is_not_written_without_bytecode(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hash_of(folder)
    cache(folder).unlink()
    monkeypatch.setattr("sys.dont_write_bytecode", True)

    assert hash_of(folder) == before
    assert not cache(folder).exists()


def test_same_size_at_another_time_is_another_hash(folder: Path) -> None:
    before = hash_of(folder)
    file = folder / "claim.lua"

    file.write_text("return 9")
    os.utime(file, ns=(0, 1))

    assert hash_of(folder) != before
