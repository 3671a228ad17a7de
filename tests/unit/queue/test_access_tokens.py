"""Access tokens of the gateway: who they are for, and until when."""

import re
from time import monotonic

import pytest
from support.builders import Bench
from taskorch.domain import errors
from taskorch.domain.access_token import (
    USUAL,
    AccessTokenEdit,
    Checked,
    ClientAccess,
)
from taskorch.domain.frozen import replace
from taskorch.domain.role import Role
from taskorch.queue.access_tokens import AccessTokens
from taskorch.queue.port import REPEAT
from taskorch.queue.queue import Queue
from taskorch.queue.requests import Requests

ADDRESS = "192.0.2.7"
NO_TOKENS = (
    "",
    "tok_",
    "tok_1a2b3c4d",
    "tok_1a2b3c4d_",
    "tok_1A2B3C4D_" + "0" * 64,
    "tok_1a2b3c4d_" + "0" * 63,
    "tok_*_" + "0" * 64,
    "tok_1a2b3c4d_" + "0" * 64 + "\n",
)
NOTHING = Checked(access=None, token="")


def refused(token: str) -> Checked:
    """Return the check of a token that exists, but is refused."""
    return Checked(access=None, token=token)


def test_created_token_gives_its_access(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()
    project = bench.queue.project("One")

    created = tokens.create("ada", Role.WORKER, project=project)

    assert re.fullmatch(r"tok_[0-9a-f]{8}_[0-9a-f]{64}", created.token)
    assert tokens.use(created.token, ADDRESS) == Checked(
        access=ClientAccess(
            token=created.id, name="ada", role=Role.WORKER, project=project
        ),
        token=created.id,
    )


def test_redis_has_no_secret(bench: Bench) -> None:
    created = bench.queue.access_tokens().create("ada", Role.WORKER)
    secret = created.token.rpartition("_")[2]

    stored = bench.everything()[f"access_token:{created.id}"]

    assert "sha256" in str(stored)
    assert secret not in str(stored)


@pytest.mark.parametrize("token", NO_TOKENS)
def test_malformed_token_gives_nothing(bench: Bench, token: str) -> None:
    assert bench.queue.access_tokens().use(token, ADDRESS) == NOTHING


def test_wrong_secret_gives_nothing(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()
    created = tokens.create("ada", Role.ADMIN)

    wrong = f"{created.id}_{'0' * 64}"
    assert tokens.use(wrong, ADDRESS) == refused(created.id)
    assert [token.used_at for token in tokens.list()] == [0]


def test_revoked_token_gives_nothing(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()
    created = tokens.create("ada", Role.WORKER)

    tokens.revoke(created.id)

    assert tokens.use(created.token, ADDRESS) == NOTHING
    assert tokens.list() == ()
    with pytest.raises(errors.NoAccessToken):
        tokens.revoke(created.id)
    with pytest.raises(errors.NoAccessToken):
        tokens.rotate(created.id)


def test_expired_token_gives_nothing(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()
    created = tokens.create("ada", Role.WORKER, lifetime_ms=60_000)

    bench.expire_access_token(created.id)

    assert tokens.use(created.token, ADDRESS) == refused(created.id)
    assert [token.expired for token in tokens.list()] == [True]


def test_rotated_token_has_another_secret(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()
    created = tokens.create("ada", Role.VIEWER)

    rotated = tokens.rotate(created.id)

    assert rotated.id == created.id
    assert tokens.use(created.token, ADDRESS) == refused(created.id)
    access = tokens.use(rotated.token, ADDRESS).access
    assert access
    assert access.role is Role.VIEWER


def test_list_shows_the_last_use(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()
    unused = tokens.create("bob", Role.ORCHESTRATOR)
    used = tokens.create("ada", Role.WORKER)
    tokens.use(used.token, ADDRESS)

    listed = {token.id: token for token in tokens.list()}

    assert listed[used.id].used_from == ADDRESS
    assert listed[used.id].used_at > 0
    assert (listed[unused.id].used_at, listed[unused.id].used_from) == (0, "")
    assert listed[unused.id].created_by == "planner"


def test_list_has_all_pages(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()
    created = {tokens.create("ada", Role.WORKER).id for _ in range(101)}

    assert {token.id for token in tokens.list()} == created


def test_token_of_unknown_project_is_refused(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()

    with pytest.raises(errors.NoProject):
        tokens.create("ada", Role.WORKER, project="proj_00000000")

    assert tokens.list() == ()


@pytest.mark.parametrize("name", ["", "a b", "item_1a2b3c4d", "x" * 65])
def test_token_needs_a_valid_name(bench: Bench, name: str) -> None:
    with pytest.raises(errors.Invalid):
        bench.queue.access_tokens().create(name, Role.WORKER)


def repeated(bench: Bench, request: str) -> AccessTokens:
    """Return the tokens over a queue whose call is a repeat of a request."""
    scripts = bench.queue._scripts
    same = Queue(
        scripts.connection,
        bench.namespace,
        scripts.caller,
        requests=Requests(same=request),
    )
    return same.access_tokens()


def test_repeated_creation_replaces_the_lost_secret(bench: Bench) -> None:
    tokens, request = bench.queue.access_tokens(), "0123456789abcdef"
    lost = repeated(bench, request).create("ada", Role.WORKER)

    created = repeated(bench, request + REPEAT).create("ada", Role.WORKER)

    assert created.id == lost.id
    assert [token.id for token in tokens.list()] == [created.id]
    assert tokens.use(created.token, ADDRESS).access
    assert tokens.use(lost.token, ADDRESS) == refused(lost.id)


def test_late_copy_of_creation_keeps_the_new_secret(bench: Bench) -> None:
    tokens, request = bench.queue.access_tokens(), "0123456789abcdef"
    repeated(bench, request).create("ada", Role.WORKER)
    created = repeated(bench, request + REPEAT).create("ada", Role.WORKER)

    repeated(bench, request).create("ada", Role.WORKER)

    assert tokens.use(created.token, ADDRESS).access
    assert len(tokens.list()) == 1


def test_lifetime_ends_the_validity(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()
    created = tokens.create("ada", Role.WORKER, lifetime_ms=60_000)
    before = monotonic()

    access = tokens.use(created.token, ADDRESS).access

    assert access
    assert 50 < access.valid_until - before < 61


@pytest.mark.parametrize("lifetime_ms", [0, -1, 365 * 24 * 3_600_000 + 1])
def test_lifetime_out_of_range_is_refused(
    bench: Bench, lifetime_ms: int
) -> None:
    tokens = bench.queue.access_tokens()

    with pytest.raises(errors.Invalid):
        tokens.create("ada", Role.WORKER, lifetime_ms=lifetime_ms)


def test_sign_in_link_is_redeemed_once(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()
    link = tokens.create_link("ada", Role.ORCHESTRATOR)

    session = tokens.redeem(link.token, ADDRESS)

    access = tokens.use(session.token, ADDRESS).access
    assert access
    assert (access.name, access.role) == ("ada", Role.ORCHESTRATOR)
    with pytest.raises(errors.LinkRefused, match="used already"):
        tokens.redeem(link.token, ADDRESS)


def test_sign_in_link_gives_no_access(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()

    link = tokens.create_link("ada", Role.ADMIN)

    assert tokens.use(link.token, ADDRESS) == refused(link.id)


def test_sign_in_link_keeps_the_project(bench: Bench) -> None:
    tokens, project = bench.queue.access_tokens(), bench.queue.project("One")
    link = tokens.create_link("ada", Role.VIEWER, project=project)

    session = tokens.redeem(link.token, ADDRESS)

    access = tokens.use(session.token, ADDRESS).access
    assert access
    assert access.project == project


def test_expired_sign_in_link_says_so(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()
    link = tokens.create_link("ada", Role.VIEWER)
    bench.expire_access_token(link.id)

    with pytest.raises(errors.LinkRefused, match="expired"):
        tokens.redeem(link.token, ADDRESS)


def test_ordinary_token_is_no_sign_in_link(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()
    created = tokens.create("ada", Role.VIEWER)

    with pytest.raises(errors.LinkRefused):
        tokens.redeem(created.token, ADDRESS)

    assert tokens.use(created.token, ADDRESS).access


def test_edited_token_keeps_its_secret_and_the_rest(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()
    created = tokens.create("ada", Role.WORKER, lifetime_ms=60_000)

    tokens.edit(created.id, AccessTokenEdit(role=Role.VIEWER, open_items=5))

    access = tokens.use(created.token, ADDRESS).access
    assert access
    assert (access.name, access.role) == ("ada", Role.VIEWER)
    (listed,) = tokens.list()
    assert listed.expires_at > 0
    assert listed.quotas == replace(USUAL, open_items=5)


def test_edited_expiry_begins_now(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()
    created = tokens.create("ada", Role.WORKER, lifetime_ms=60_000)
    bench.expire_access_token(created.id)

    tokens.edit(created.id, AccessTokenEdit(lifetime_ms=60_000))
    renewed = tokens.use(created.token, ADDRESS).access
    tokens.edit(created.id, AccessTokenEdit(lifetime_ms=0))

    assert renewed
    (listed,) = tokens.list()
    assert (listed.expires_at, listed.expired) == (0, False)


def test_only_edited_workers_have_pools(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()
    worker = tokens.create("ada", Role.WORKER, pools=("backend",)).id
    viewer = tokens.create("eve", Role.VIEWER).id

    with pytest.raises(errors.NotAllowed, match="only a worker"):
        tokens.edit(viewer, AccessTokenEdit(pools=("backend",)))
    with pytest.raises(errors.NotAllowed, match="only a worker"):
        tokens.edit(worker, AccessTokenEdit(role=Role.VIEWER))
    tokens.edit(worker, AccessTokenEdit(role=Role.VIEWER, pools=()))
    tokens.edit(viewer, AccessTokenEdit(role=Role.WORKER, pools=("backend",)))

    roles = {each.id: (each.role, each.pools) for each in tokens.list()}
    assert roles == {
        worker: (Role.VIEWER, ()),
        viewer: (Role.WORKER, ("backend",)),
    }


@pytest.mark.parametrize(
    ("edited", "left"), [((), ("mine",)), (("python",), ("mine", "python"))]
)
def test_edited_token_takes_agent_out_of_pools(
    bench: Bench, edited: tuple[str, ...], left: tuple[str, ...]
) -> None:
    tokens = bench.queue.access_tokens()
    created = tokens.create("ada", Role.WORKER, pools=("backend", "python"))
    bench.agent("ada", pools=("mine", "backend", "python")).check()

    tokens.edit(created.id, AccessTokenEdit(pools=edited))

    (ada,) = bench.queue.views.agents()
    assert ada.pools == left
    members = {
        pool.name: len(pool.members) for pool in bench.queue.views.pools()
    }
    assert members == {
        name: int(name in left) for name in ("mine", "backend", "python")
    }


def test_revoked_token_takes_agent_out_of_pools(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()
    created = tokens.create("ada", Role.WORKER, pools=("backend",))
    bench.agent("ada", pools=("mine", "backend")).check()
    item = bench.pool_item("backend")
    signals = bench.queue.signals()
    cursor = signals.newest_cursor()

    tokens.revoke(created.id)

    (ada,) = bench.queue.views.agents()
    assert ada.pools == ("mine",)
    (stuck,) = bench.queue.views.stuck().items
    assert (stuck.item.id, stuck.why) == (item, "pool_without_agents")
    page = next(signals.follow(cursor))
    assert [(each.kind, each.name) for each in page.signals] == [
        ("view", "agent:ada"),
        ("access_token", created.id),
    ]


@pytest.mark.parametrize("verb", ["edit", "revoke"])
@pytest.mark.parametrize("lifetime_ms", [None, 1])
def test_agent_stays_in_pools_of_its_other_token(
    bench: Bench, verb: str, lifetime_ms: int | None
) -> None:
    tokens = bench.queue.access_tokens()
    first = tokens.create("ada", Role.WORKER, pools=("backend",))
    tokens.create(
        "ada", Role.WORKER, pools=("backend",), lifetime_ms=lifetime_ms
    )
    tokens.create("bob", Role.WORKER, pools=("backend",))
    bench.agent("ada", pools=("backend",)).check()
    bench.wait_for_next_ms()

    if verb == "edit":
        tokens.edit(first.id, AccessTokenEdit(pools=()))
    else:
        tokens.revoke(first.id)

    (ada,) = bench.queue.views.agents()
    assert ada.pools == (() if lifetime_ms else ("backend",))


def test_edit_that_is_refused_changes_nothing(bench: Bench) -> None:
    tokens = bench.queue.access_tokens()
    project = bench.queue.project("One")
    created = tokens.create("ada", Role.WORKER, project=project)
    before = tokens.list()

    for edit in (
        AccessTokenEdit(),
        AccessTokenEdit(bytes_a_day=-1),
        AccessTokenEdit(lifetime_ms=10**15),
    ):
        with pytest.raises(errors.Invalid):
            tokens.edit(created.id, edit)
    with pytest.raises(errors.NotAllowed):
        tokens.edit(created.id, AccessTokenEdit(role=Role.ADMIN))
    with pytest.raises(errors.NoAccessToken):
        tokens.edit("tok_00000000", AccessTokenEdit(open_items=1))

    assert tokens.list() == before
