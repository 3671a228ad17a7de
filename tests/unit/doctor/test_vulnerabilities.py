"""`orchestrate doctor` names the known vulnerabilities of a server's version."""

import re

import pytest
from taskorch.queue.audit import Environment
from taskorch_orchestrator.doctor import checks, vulnerabilities
from taskorch_orchestrator.doctor.checks import CheckResult, CheckStatus

LUA_2025 = "CVE-2025-49844"


def checked(**info: str) -> CheckResult:
    environment = Environment(at=0, schema="2", info=info, refused="")
    results = checks.of_server(environment, 0, 0)
    return next(one for one in results if one.name == "vulnerabilities")


@pytest.mark.parametrize(
    ("version", "known", "fixed"),
    [
        ("7.0.15", LUA_2025, "7.2.16"),
        ("7.2.10", LUA_2025, "7.2.16"),
        ("7.4.5", LUA_2025, "7.4.11"),
        ("8.0.3", LUA_2025, "8.2.9"),
        ("8.2.1", LUA_2025, "8.2.9"),
        ("7.4.1", "CVE-2024-46981", "7.4.11"),
        ("7.2.7", "CVE-2025-21605", "7.2.16"),
        ("8.0.2", "CVE-2025-32023", "8.2.9"),
        ("8.2.2", "CVE-2025-62507", "8.2.9"),
        ("8.6.2", "CVE-2026-23631", "8.6.6"),
        ("8.0.6", "CVE-2026-23631", "8.2.9"),
        ("7.4.9", "CVE-2026-66373", "7.4.11"),
        ("8.6.4", "CVE-2026-66373", "8.6.6"),
        ("8.10.0", "CVE-2026-81934", "8.10.1"),
    ],
)
def test_redis_with_vulnerability_is_noted(
    version: str, known: str, fixed: str
) -> None:
    found = checked(redis_version=version)

    assert found.status is CheckStatus.NOTE
    assert known in ids(version, is_valkey=False)
    assert found.mend == f"upgrade to Redis {fixed} or newer"


@pytest.mark.parametrize(
    ("version", "known", "fixed"),
    [
        ("8.0.1", "CVE-2024-46981", "8.0.10"),
        ("8.0.2", "CVE-2025-21605", "8.0.10"),
        ("8.0.5", LUA_2025, "8.0.10"),
        ("8.1.3", LUA_2025, "8.1.9"),
        ("9.0.2", "CVE-2025-67733", "9.0.5"),
        ("9.0.3", "CVE-2026-23479", "9.0.5"),
        ("9.1.1", "GHSA-fq2f-crmw-q97r", "9.1.2"),
    ],
)
def test_valkey_with_vulnerability_is_noted(
    version: str, known: str, fixed: str
) -> None:
    found = checked(redis_version="7.2.4", valkey_version=version)

    assert found.status is CheckStatus.NOTE
    assert known in ids(version, is_valkey=True)
    assert found.mend == f"upgrade to Valkey {fixed} or newer"


@pytest.mark.parametrize(
    "version",
    ["7.2.16", "7.4.11", "8.2.9", "8.10.2", "8.12.0", "9.0", "10.0.1"],
)
def test_fixed_or_newer_redis_passes(version: str) -> None:
    assert checked(redis_version=version).status is CheckStatus.OK


@pytest.mark.parametrize(
    "version", ["8.0.10", "8.1.9", "9.0.5", "9.1.2", "9.2.0", "10.0.0"]
)
def test_fixed_or_newer_valkey_passes(version: str) -> None:
    found = checked(redis_version="7.2.4", valkey_version=version)

    assert found.status is CheckStatus.OK


def test_vulnerability_of_clusters_concerns_clusters_alone() -> None:
    alone, cluster = (
        checked(valkey_version="9.1.2", redis_mode=mode)
        for mode in ("standalone", "cluster")
    )

    assert alone.status is CheckStatus.OK
    assert "CVE-2026-136156" in cluster.found
    assert cluster.mend == "upgrade to Valkey 9.1.3 or newer"


@pytest.mark.parametrize("version", ["255.255.255", "8.x", "", "9.1.2-rc1"])
def test_unusual_version_is_no_error(version: str) -> None:
    assert checked(redis_version=version).name == "vulnerabilities"


@pytest.mark.parametrize(
    "known", vulnerabilities.VULNERABILITIES, ids=lambda each: each.id
)
def test_vulnerability_ends_with_its_fix(
    known: vulnerabilities.Vulnerability,
) -> None:
    for is_valkey, fixes in ((False, known.redis), (True, known.valkey)):
        for branch, patch in fixes.items():
            before, after = (
                vulnerabilities.of_version(
                    (*branch, number), is_valkey=is_valkey, is_cluster=True
                )
                for number in (patch - 1, patch)
            )

            assert known in before
            assert known not in after


def test_vulnerability_is_named_for_its_record() -> None:
    names = [each.id for each in vulnerabilities.VULNERABILITIES]

    assert len(set(names)) == len(names)
    form = r"CVE-202[4-9]-\d{4,6}|GHSA(-[0-9a-z]{4}){3}|redis/redis \d\.\d\.\d"
    assert [name for name in names if not re.fullmatch(form, name)] == []


def ids(version: str, *, is_valkey: bool) -> set[str]:
    major, minor, patch = (int(part) for part in version.split("."))
    known = vulnerabilities.of_version(
        (major, minor, patch), is_valkey=is_valkey, is_cluster=False
    )
    return {each.id for each in known}
