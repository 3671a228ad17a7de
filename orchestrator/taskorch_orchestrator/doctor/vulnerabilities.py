"""The known vulnerabilities of Redis and Valkey that clients of a queue could use.

Sources, as of 1 December 2026: the files 00-RELEASENOTES of each branch and the security
advisories at https://github.com/redis/redis and https://github.com/valkey-io/valkey, and
the records at https://www.cve.org. The table leaves out modules, replicas, Sentinel,
versions that are too old for us, and what needs the right to CONFIG or ACL. Redis fixed
RDB files, vector sets and names of TLS certificates in the same versions as
CVE-2026-81934, which stands for all of them.
"""

from collections.abc import Iterator, Mapping

from taskorch.domain.frozen import Frozen

Version = tuple[int, int, int]
Branch = tuple[int, int]


class Vulnerability(Frozen):
    """A vulnerability, and the versions that fix it.

    A branch that is newer than all fixed ones never had it. An older one that is not
    among them has no fix.
    """

    #: Its number at cve.org, or its advisory.
    id: str
    #: What a client could do.
    risk: str
    #: Branch -> the patch that fixes it, of Redis and of Valkey.
    redis: Mapping[Branch, int]
    valkey: Mapping[Branch, int]
    #: The first branch that has it.
    since: Branch = (0, 0)
    #: Only nodes of a cluster have it.
    is_of_clusters: bool = False


_JULY_2026 = {(8, 0): 10, (8, 1): 9, (9, 0): 5, (9, 1): 1}
_MAY_2026_REDIS = {(7, 2): 14, (7, 4): 9, (8, 2): 6, (8, 4): 3, (8, 6): 3}
_MAY_2026_VALKEY = {(8, 0): 9, (8, 1): 7, (9, 0): 4}
_FEBRUARY_2026_VALKEY = {(7, 2): 12, (8, 0): 7, (8, 1): 6, (9, 0): 3}
_OCTOBER_2025_REDIS = {(7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2}
_OCTOBER_2025_VALKEY = {(8, 0): 6, (8, 1): 4}
_JULY_2025_REDIS = {(7, 2): 10, (7, 4): 5, (8, 0): 3}
_JULY_2025_VALKEY = {(8, 0): 4, (8, 1): 3}

#: The newest first.
VULNERABILITIES = (
    Vulnerability(
        id="CVE-2026-136156",
        risk="a large message of PUBLISH may run code",
        redis={},
        valkey={(8, 0): 12, (8, 1): 11, (9, 0): 7, (9, 1): 3},
        is_of_clusters=True,
    ),
    Vulnerability(
        id="GHSA-fq2f-crmw-q97r",
        risk="a client without a password may crash the server",
        redis={},
        valkey={(9, 1): 2},
        since=(9, 1),
    ),
    Vulnerability(
        id="CVE-2026-81934",
        risk="a TLS client without a password may run code",
        redis={
            (7, 2): 16,
            (7, 4): 11,
            (8, 2): 9,
            (8, 4): 6,
            (8, 6): 6,
            (8, 8): 2,
            (8, 10): 1,
        },
        valkey={},
    ),
    Vulnerability(
        id="CVE-2026-66373",
        risk="RESTORE may run code",
        redis={(7, 2): 15, (7, 4): 10, (8, 2): 8, (8, 4): 5, (8, 6): 5},
        valkey={},
    ),
    Vulnerability(
        id="CVE-2026-63639",
        risk="RESTORE may run code",
        redis={},
        valkey=_JULY_2026,
    ),
    Vulnerability(
        id="CVE-2026-56684",
        risk="CLIENT KILL of a TLS connection may run code",
        redis={},
        valkey=_JULY_2026,
    ),
    Vulnerability(
        id="CVE-2026-23479",
        risk="a blocked client that is evicted may run code",
        redis=_MAY_2026_REDIS,
        valkey=_MAY_2026_VALKEY,
        since=(7, 2),
    ),
    Vulnerability(
        id="CVE-2026-25243",
        risk="RESTORE may run code",
        redis=_MAY_2026_REDIS,
        valkey=_MAY_2026_VALKEY,
    ),
    Vulnerability(
        id="CVE-2026-23631",
        risk="a script during a full sync may run code",
        redis=_MAY_2026_REDIS,
        valkey=_MAY_2026_VALKEY,
    ),
    Vulnerability(
        id="CVE-2026-27623",
        risk="a client without a password may crash the server",
        redis={},
        valkey={(9, 0): 3},
        since=(9, 0),
    ),
    Vulnerability(
        id="CVE-2026-21863",
        risk="a message to the cluster bus may crash the server",
        redis={},
        valkey=_FEBRUARY_2026_VALKEY,
        is_of_clusters=True,
    ),
    Vulnerability(
        id="CVE-2025-67733",
        risk="an error reply of a script may forge other replies",
        redis={},
        valkey=_FEBRUARY_2026_VALKEY,
    ),
    Vulnerability(
        # its release notes name no number
        id="redis/redis 8.6.1",
        risk="an error reply may forge other replies",
        redis={
            (7, 2): 13,
            (7, 4): 8,
            (8, 0): 6,
            (8, 2): 5,
            (8, 4): 2,
            (8, 6): 1,
        },
        valkey={},
    ),
    Vulnerability(
        id="CVE-2025-62507",
        risk="XACKDEL may run code",
        redis={(8, 2): 3},
        valkey={},
        since=(8, 2),
    ),
    Vulnerability(
        id="CVE-2025-49844",
        risk="a Lua script may run code",
        redis=_OCTOBER_2025_REDIS,
        valkey=_OCTOBER_2025_VALKEY,
    ),
    Vulnerability(
        id="CVE-2025-46817",
        risk="a Lua script may run code",
        redis=_OCTOBER_2025_REDIS,
        valkey=_OCTOBER_2025_VALKEY,
    ),
    Vulnerability(
        id="CVE-2025-46818",
        risk="a Lua script may run as another user",
        redis=_OCTOBER_2025_REDIS,
        valkey=_OCTOBER_2025_VALKEY,
    ),
    Vulnerability(
        id="CVE-2025-46819",
        risk="a Lua script may crash the server",
        redis=_OCTOBER_2025_REDIS,
        valkey=_OCTOBER_2025_VALKEY,
    ),
    Vulnerability(
        id="CVE-2025-32023",
        risk="HyperLogLog commands may run code",
        redis=_JULY_2025_REDIS,
        valkey=_JULY_2025_VALKEY,
    ),
    Vulnerability(
        id="CVE-2025-48367",
        risk="a client without a password may stop others from connecting",
        redis=_JULY_2025_REDIS,
        valkey=_JULY_2025_VALKEY,
    ),
    Vulnerability(
        id="CVE-2025-21605",
        risk="a client without a password may fill the memory",
        redis={(7, 2): 8, (7, 4): 3},
        valkey={(8, 0): 3, (8, 1): 1},
    ),
    Vulnerability(
        id="CVE-2024-46981",
        risk="a Lua script may run code",
        redis={(7, 2): 7, (7, 4): 2},
        valkey={(8, 0): 2},
    ),
    Vulnerability(
        id="CVE-2024-31449",
        risk="a Lua script may run code",
        redis={(7, 2): 6, (7, 4): 1},
        valkey={(8, 0): 1},
    ),
    Vulnerability(
        id="CVE-2024-31228",
        risk="a pattern of KEYS may hang the server",
        redis={(7, 2): 6, (7, 4): 1},
        valkey={(8, 0): 1},
    ),
)


def of_version(
    version: Version, *, is_valkey: bool, is_cluster: bool
) -> tuple[Vulnerability, ...]:
    """Return the known vulnerabilities of a server, the newest first."""
    return tuple(
        known
        for known in VULNERABILITIES
        if (is_cluster or not known.is_of_clusters)
        and _has(version, known, _fixes(known, is_valkey=is_valkey))
    )


def fixed_version(
    version: Version, *, is_valkey: bool, is_cluster: bool
) -> str:
    """Return the oldest newer version without known vulnerabilities."""
    for fixed in sorted(set(_fixed_versions(is_valkey=is_valkey))):
        is_safe = not of_version(
            fixed, is_valkey=is_valkey, is_cluster=is_cluster
        )
        if fixed > version and is_safe:
            return ".".join(str(part) for part in fixed)
    return ""


def _has(
    version: Version, known: Vulnerability, fixes: Mapping[Branch, int]
) -> bool:
    branch = (version[0], version[1])
    if not fixes or branch < known.since or branch > max(fixes):
        return False
    is_fixed = branch in fixes and version >= (*branch, fixes[branch])
    return not is_fixed


def _fixed_versions(*, is_valkey: bool) -> Iterator[Version]:
    for known in VULNERABILITIES:
        for branch, patch in _fixes(known, is_valkey=is_valkey).items():
            yield (*branch, patch)


def _fixes(known: Vulnerability, *, is_valkey: bool) -> Mapping[Branch, int]:
    return known.valkey if is_valkey else known.redis
