"""Only the damage that a system crash leaves is cut off the append-only file."""

import shutil
from pathlib import Path

import pytest
import redis
from support import servers
from taskorch.bundled import append_only_file, server
from taskorch.domain import errors

BINARY = server.binary()
TRANSACTION = b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The append-only folder of a server that was shut down."""
    folder = tmp_path_factory.mktemp("sound")
    with (
        servers.running(BINARY, folder, "--appendonly", "yes") as url,
        redis.Redis.from_url(url) as raw,
    ):
        raw.set("first", "1")
        raw.set("zeros", b"\0" * 100)
    return folder / "appendonlydir"


@pytest.fixture
def appended(sound: Path, tmp_path: Path) -> Path:
    """A copy of the folder, for the test to damage."""
    return Path(shutil.copytree(sound, tmp_path / "data" / "appendonlydir"))


def newest(appended: Path) -> Path:
    return next(appended.glob("*.incr.aof"))


@pytest.mark.parametrize(
    "damage",
    [
        b"\0" * 4096,
        b"*3\r\n$3\r\nSET\r\n$5\r\nhal",
        b"*3\r\n$3\r\nSET\r\n$5\r\nhal" + b"\0" * 500,
        b"*",
        b"*3\r",
        b"*3\r\n$",
        TRANSACTION,
        TRANSACTION + b"\0" * 10,
        TRANSACTION + b"*1\r\n$4\r\nEX",
    ],
)
def test_end_that_a_crash_leaves_is_cut_off(
    appended: Path, damage: bytes
) -> None:
    file = newest(appended)
    content = file.read_bytes()
    file.write_bytes(content + damage)

    told = append_only_file.repair(appended, BINARY, force=False)

    (copy,) = appended.parent.glob("damaged-*")
    assert file.read_bytes() == content
    assert copy.read_bytes() == damage
    assert (
        f"the last {len(damage)} of {len(content) + len(damage)} bytes" in told
    )
    assert str(copy) in told


@pytest.mark.parametrize(
    "damage",
    [
        b"garbage",
        b"\0\0\0" + b"*1\r\n$4\r\nPING\r\n",
        b"*3\r\n$3\r\nSETxx\r\n",
        b"*3\r\n$3\r\nSET\r\n$5\r\nhal\0\0\0\0*1\r\n$4\r\nPING\r\n",
        b"*12345678901234567890",
    ],
)
def test_damage_with_more_behind_it_is_left_alone(
    appended: Path, damage: bytes
) -> None:
    file = newest(appended)
    size = file.stat().st_size
    file.write_bytes(damaged := file.read_bytes() + damage)

    with pytest.raises(errors.DataDamaged) as refusal:
        append_only_file.repair(appended, BINARY, force=False)

    assert file.read_bytes() == damaged
    assert (refusal.value.details["sound"], refusal.value.details["size"]) == (
        size,
        len(damaged),
    )
    assert "orchestrate server start --repair" in refusal.value.hint()


def test_any_damage_is_cut_off_by_force(appended: Path) -> None:
    file = newest(appended)
    content = file.read_bytes()
    file.write_bytes(content + b"garbage")

    append_only_file.repair(appended, BINARY, force=True)

    (copy,) = appended.parent.glob("damaged-*")
    assert file.read_bytes() == content
    assert copy.read_bytes() == b"garbage"


def test_sound_file_is_left_alone_even_by_force(appended: Path) -> None:
    before = newest(appended).read_bytes()

    with pytest.raises(errors.DataDamaged) as refusal:
        append_only_file.repair(appended, BINARY, force=True)

    assert newest(appended).read_bytes() == before
    assert "orchestrate import FILE" in refusal.value.hint()


@pytest.mark.parametrize(
    "manifest", [b"", b"\0" * 88, b"file gone.aof seq 1 type i\n"]
)
def test_manifest_that_cannot_be_read_is_named(
    appended: Path, manifest: bytes
) -> None:
    file = next(appended.glob("*.manifest"))
    file.write_bytes(manifest)

    with pytest.raises(errors.DataDamaged, match=str(file)) as refusal:
        append_only_file.repair(appended, BINARY, force=True)

    assert str(appended) in refusal.value.hint()
