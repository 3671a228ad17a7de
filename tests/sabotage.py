"""`make sabotage`: remove one guard at a time, and report which test turns red.

A guard that no test misses is not tested. Each guard is removed in a copy of the
source.
`tests/unit/project/test_sabotage.py` checks that the lines to remove exist, and that
docs/reliability.md lists every guard.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
SCRIPTS = "shared/taskorch/queue/scripts"
CALL, ITEMS, LEASES, EDITS, SIZES = (
    f"{SCRIPTS}/prelude/{part}.lua"
    for part in ("call", "items", "leases", "edits", "sizes")
)
MIRROR = "orchestrator/taskorch_orchestrator/mirror"
NEEDED = (
    "shared",
    "worker",
    "orchestrator",
    "gateway",
    "tests",
    "docs",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
)
TIME_LIMIT_S = 300


@dataclass(frozen=True, kw_only=True)
class Sabotage:
    """A guard: its lines, their replacement, and the tests that must turn red."""

    guard: str
    file: str
    line: str
    instead: str
    tests: tuple[str, ...]


SABOTAGES = (
    Sabotage(
        guard="A notification goes to one service",
        file=f"{SCRIPTS}/notify_take.lua",
        line="  if holder and tonumber(ends) > now then return nil end\n",
        instead="",
        tests=("tests/unit/queue/test_notifications.py",),
    ),
    Sabotage(
        guard="An attempt without a result is not repeated",
        file=f"{SCRIPTS}/notify_take.lua",
        line="    batch = nil\n",
        instead="",
        tests=("tests/unit/queue/test_notifications.py",),
    ),
    Sabotage(
        guard="Only the service that took a batch settles it",
        file=f"{SCRIPTS}/notify_settle.lua",
        line="  if kept ~= batch or holder ~= service then return {''} end\n",
        instead="",
        tests=("tests/unit/queue/test_notifications.py",),
    ),
    Sabotage(
        guard="A notification is not sent into a private network",
        file="orchestrator/taskorch_orchestrator/notify/post.py",
        line="if target.allow_private or _is_public(each.literal)",
        instead="if True",
        tests=("tests/unit/notify/test_post.py",),
    ),
    Sabotage(
        guard="A message that may have arrived is not repeated",
        file="orchestrator/taskorch_orchestrator/notify/post.py",
        line="return PostResult(outcome=AttemptOutcome.FAILED, reason=reason)\n    return _judged",
        instead="return PostResult(outcome=AttemptOutcome.RETRY, reason=reason)\n    return _judged",
        tests=("tests/unit/notify/test_post.py",),
    ),
    Sabotage(
        guard="One of several services starts a run of a schedule",
        file=f"{SCRIPTS}/start_scheduled.lua",
        line="  if due_at ~= tonumber(seen) or due_at > now then return {''} end\n",
        instead="  if not due_at then return {''} end\n",
        tests=("tests/unit/queue/test_schedules.py",),
    ),
    Sabotage(
        guard="A run that is repeated keeps the time of the run",
        file=f"{SCRIPTS}/start_scheduled.lua",
        line="  if not running then\n",
        instead="  if true then\n",
        tests=("tests/unit/queue/test_schedules.py",),
    ),
    Sabotage(
        guard="Another run does not end the one that has started",
        file=f"{SCRIPTS}/end_scheduled.lua",
        line="  if due ~= '' and running ~= due then return {name} end -- another caller has ended it\n",
        instead="",
        tests=("tests/unit/queue/test_schedules.py",),
    ),
    Sabotage(
        guard="A namespace has a bounded number of schedules",
        file=f"{SCRIPTS}/create_schedule.lua",
        line="  if call('ZCARD', index) >= Schedule.MOST then\n",
        instead="  if false then\n",
        tests=("tests/unit/queue/test_schedules.py",),
    ),
    Sabotage(
        guard="A repeated run of a schedule creates no second project",
        file="orchestrator/taskorch_orchestrator/schedule/runs.py",
        line='return replace(plan, key=f"schedule {schedule.name} {rfc3339(at)}")',
        instead="return plan",
        tests=("tests/unit/schedule/test_runs.py",),
    ),
    Sabotage(
        guard="A run of a schedule stays within the access token of its client",
        file="orchestrator/taskorch_orchestrator/schedule/runs.py",
        line="_allowed(queue, run.access_token).apply(plan)",
        instead="queue.apply(plan)",
        tests=("tests/unit/schedule/test_token_runs.py",),
    ),
    Sabotage(
        guard="A token does what its role may, also right after a change",
        file=f"{SCRIPTS}/prelude/clients.lua",
        line="      if role == v[2] then return end\n",
        instead="      if role then return end\n",
        tests=("tests/unit/queue/test_client_access.py",),
    ),
    Sabotage(
        guard="Only the holder comments on its item",
        file=f"{SCRIPTS}/agent_comment.lua",
        line="Lease.check_holder(need_item(id), token, 'agent_comment')",
        instead="need_item(id)",
        tests=("tests/unit/queue/test_comments.py",),
    ),
    Sabotage(
        guard="An item with acceptance checks is not completed without evidence",
        file=f"{SCRIPTS}/prelude/deliveries.lua",
        line="  if not is_shown then refuse",
        instead="  if false then refuse",
        tests=("tests/unit/queue/test_checks.py",),
    ),
    Sabotage(
        guard="A deliverable that a check names is delivered",
        file=f"{SCRIPTS}/prelude/deliveries.lua",
        line="      if (delivered[name] or '') == '' then",
        instead="      if false then",
        tests=("tests/unit/queue/test_checks.py",),
    ),
    Sabotage(
        guard="The command of a run does not complete an item with acceptance checks",
        file=f"{SCRIPTS}/prelude/deliveries.lua",
        line="  if item.only_reports then refuse",
        instead="  if false then refuse",
        tests=("tests/unit/queue/test_checks.py",),
    ),
    Sabotage(
        guard="A completion is moved to the stream before another report",
        file=f"{SCRIPTS}/prelude/items.lua",
        line="  if item.state == 'completed' then Reports.move_completion(item) end\n",
        instead="",
        tests=("tests/unit/queue/test_completion_report.py",),
    ),
    Sabotage(
        guard="A wait makes the stream on which it blocks",
        file="shared/taskorch/queue/waits.py",
        line="if self._expects or standing.report != FROM_THE_START:",
        instead="if True:",
        tests=("tests/unit/queue/test_completion_report.py",),
    ),
    Sabotage(
        guard="Waiters of an item make one stream",
        file=f"{SCRIPTS}/expect.lua",
        line=" and call('EXISTS', stream) == 0 then",
        instead=" then",
        tests=("tests/unit/queue/test_completion_report.py",),
    ),
    Sabotage(
        guard="A half upgraded namespace has a schema of its own",
        file=f"{SCRIPTS}/upgrade.lua",
        line="call('HSET', meta, 'schema', UPGRADING, 'upgrade', rest)",
        instead="call('HSET', meta, 'upgrade', rest)",
        tests=("tests/unit/queue/test_upgrade.py",),
    ),
    Sabotage(
        guard="An upgrade keeps reports that differ from the item",
        file=f"{SCRIPTS}/upgrade.lua",
        line="  if not is_same then return bytes end\n",
        instead="",
        tests=("tests/unit/queue/test_upgrade.py",),
    ),
    Sabotage(
        guard="An upgrade has request ids of its own",
        file="shared/taskorch/queue/scripts.py",
        line="own = Scripts(self.connection, self.namespace, self.caller)",
        instead="own = self",
        tests=("tests/unit/queue/test_upgrade.py",),
    ),
    Sabotage(
        guard="An edit leaves what an agent has begun",
        file=EDITS,
        line="item.state == 'in_progress' or item.state == 'blocked'",
        instead="false",
        tests=("tests/unit/queue/test_edit.py",),
    ),
    Sabotage(
        guard="An edit of the work revokes an old token",
        file=EDITS,
        line="    if edit.is_of_work and item.live_token ~= '' then Lease.revoke_token(item) end\n",
        instead="",
        tests=("tests/unit/queue/test_edit.py",),
    ),
    Sabotage(
        guard="A confined caller reaches no item of another project",
        file=f"{SCRIPTS}/prelude/items.lua",
        line="  if item and scope.is_foreign(item.project) then refuse_no_item(id) end\n",
        instead="",
        tests=("tests/unit/queue/test_confined.py",),
    ),
    Sabotage(
        guard="A confined claim skips items of other projects",
        file=f"{SCRIPTS}/prelude/claims.lua",
        line="    if scope.is_foreign(project) then return true end\n",
        instead="",
        tests=("tests/unit/queue/test_confined.py",),
    ),
    Sabotage(
        guard="An agent over its budget claims nothing",
        file=f"{SCRIPTS}/prelude/claims.lua",
        line="    local over = Budget.of_agent(caller.agent)\n",
        instead="    local over = nil\n",
        tests=("tests/unit/queue/test_budgets.py",),
    ),
    Sabotage(
        guard="A claim leaves out items of a project over its budget",
        file=f"{SCRIPTS}/prelude/claims.lua",
        line="    return over ~= nil, over\n",
        instead="    return false\n",
        tests=("tests/unit/queue/test_budgets.py",),
    ),
    Sabotage(
        guard="The mark of an older version stands for all kinds of budgets",
        file=f"{SCRIPTS}/prelude/usage.lua",
        line="may_have = owners and (owners == ANY or string.find(owners, kind, 1, true))",
        instead="may_have = owners and string.find(owners, kind, 1, true)",
        tests=("tests/unit/queue/test_budgets.py",),
    ),
    Sabotage(
        guard="A budget of a second kind of owner is asked for",
        file=f"{SCRIPTS}/prelude/usage.lua",
        line="    Budget.owners = owners and owners .. ' ' .. kind or kind\n",
        instead="    Budget.owners = owners or kind\n",
        tests=("tests/unit/queue/test_budgets.py",),
    ),
    Sabotage(
        guard="A queue of stopped items hides no pool",
        file=f"{SCRIPTS}/prelude/claims.lua",
        line="math.floor((MAX_SKIPPED - skipped) / (#pools - place + 1))",
        instead="MAX_SKIPPED - skipped",
        tests=("tests/unit/queue/test_budgets.py",),
    ),
    Sabotage(
        guard="A budget of all keeps no waiter of a pool busy",
        file="shared/taskorch/queue/agent_queue.py",
        line='    return bool(over) and not over[0].startswith("project:")\n',
        instead="    return False\n",
        tests=("tests/unit/queue/test_budgets.py",),
    ),
    Sabotage(
        guard="Late usage hides no reason of a failure",
        file=f"{SCRIPTS}/prelude/views.lua",
        line=", edit = true, usage = true}",
        instead=", edit = true}",
        tests=("tests/unit/queue/test_usage.py",),
    ),
    Sabotage(
        guard="An output of a check is cut between characters",
        file=f"{SCRIPTS}/prelude/deliveries.lua",
        line="(string.gsub(string.sub(output, -TAIL_BYTES), '^[\\128-\\191]+', ''))",
        instead="string.sub(output, -TAIL_BYTES)",
        tests=("tests/unit/queue/test_checks.py",),
    ),
    Sabotage(
        guard="A report claims nothing over a budget",
        file=f"{SCRIPTS}/prelude/leases.lua",
        line="  if item.claimed_by_report and not origin then Budget.refuse(item) end\n",
        instead="",
        tests=("tests/unit/queue/test_budgets.py",),
    ),
    Sabotage(
        guard="A changed budget wakes agents that wait",
        file=f"{SCRIPTS}/claim.lua",
        line="    if over and not is_last_look then Budget.wait() end\n",
        instead="",
        tests=("tests/unit/queue/test_budgets.py",),
    ),
    Sabotage(
        guard="A claim looks at the agent's own queue before its pools",
        file=f"{SCRIPTS}/prelude/claims.lua",
        line="place == 0 and caller.agent or Owner.of_pool(pools[place])",
        instead="place == #pools and caller.agent or Owner.of_pool(pools[place + 1])",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="A claim looks at pools in their order",
        file=f"{SCRIPTS}/prelude/claims.lua",
        line="place == 0 and caller.agent or Owner.of_pool(pools[place])",
        instead="place == 0 and caller.agent or Owner.of_pool(pools[#pools - place + 1])",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="The most urgent item of a pool is claimed first",
        file=ITEMS,
        line="return item.priority * 1e13 + item.seq end",
        instead="return item.seq end",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="A changed priority moves an item within its pool",
        file=EDITS,
        line="item.state == 'queued' and edit.priority",
        instead="false",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="A claim takes nothing that only has an entry in a pool",
        file=f"{SCRIPTS}/prelude/claims.lua",
        line="item.state == 'queued' and item.owner == owner then",
        instead="item.state == 'queued' then",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="An agent gets no item of a pool that is not its own",
        file=f"{SCRIPTS}/get.lua",
        line="    if item.owner == Owner.of_pool(pool) then return true end\n",
        instead="    if Owner.pool_of(item.owner) then return true end\n",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="An item that is given up goes back to its pool",
        file=ITEMS,
        line="    item.left_agent, item.agent = item.agent, ''\n",
        instead="",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="A pool keeps the item that one of its agents works on",
        file=f"{SCRIPTS}/assign.lua",
        line="  if pool ~= '' then return item.pool == pool end\n",
        instead="",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="An item that is sent back stays with the agent that knows it",
        file=f"{SCRIPTS}/send_back.lua",
        line="  item.pool = ''\n",
        instead="",
        tests=("tests/unit/queue/test_reviews.py",),
    ),
    Sabotage(
        guard="Only its last holder returns to an item of a pool",
        file=f"{SCRIPTS}/prelude/items.lua",
        line="return item.agent == '' and call('HGET', key('item', item.id), 'claimer') == caller.agent",
        instead="return item.agent == ''",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="The last holder of an item in a pool needs its token",
        file=LEASES,
        line="may_return = item.state == 'cancelled' or Lease.is_live(item, token)",
        instead="may_return = true",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="A repeated claim returns items of pools in the same order",
        file=f"{SCRIPTS}/prelude/claims.lua",
        line="      if place_of_one ~= place_of_other then return place_of_one < place_of_other end\n",
        instead="",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="A claim wakes another session for what it leaves in a pool",
        file=f"{SCRIPTS}/prelude/claims.lua",
        line="      wake(owner)\n      if has_waited",
        instead="      if has_waited",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="An agent over its budget leaves its pools to others",
        file=f"{SCRIPTS}/prelude/claims.lua",
        line="      leave_pools(has_waited)\n",
        instead="",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="A confined agent leaves a pool's items of other projects to others",
        file=f"{SCRIPTS}/prelude/claims.lua",
        line="limit == 0 or confined ~= '' and owner ~= caller.agent",
        instead="limit == 0",
        tests=("tests/unit/queue/test_confined.py",),
    ),
    Sabotage(
        guard="A user of Redis takes items from its own pools only",
        file=CALL,
        line="    if not redis.acl_check_cmd('HGET', key('from', pool)) then\n",
        instead="    if false then\n",
        tests=(
            "tests/integration/test_redis_roles.py::test_worker_takes_items_from_its_pools_alone",
        ),
    ),
    Sabotage(
        guard="A token takes items from its own pools only",
        file="gateway/taskorch_gateway/checks.py",
        line="    need_pools(access, pools)\n",
        instead="",
        tests=(
            "tests/integration/test_gateway_pools.py::test_token_takes_items_from_its_pools_alone",
        ),
    ),
    Sabotage(
        guard="A token waits for its own pools only",
        file="gateway/taskorch_gateway/wire.py",
        line="        need_pools(access, pools)\n",
        instead="",
        tests=(
            "tests/integration/test_gateway_pools.py::test_client_waits_for_its_own_pools",
        ),
    ),
    Sabotage(
        guard="A pool that no agent takes items from is reported",
        file=f"{SCRIPTS}/stuck.lua",
        line="  if call('EXISTS', key('members', pool)) == 1 then return look_at_queued end\n",
        instead="  if true then return look_at_queued end\n",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="An agent that has left a pool is not counted there",
        file=ITEMS,
        line="    call('ZREM', key('members', pool), caller.agent)\n",
        instead="",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="A session without pools leaves its agent in those that it has",
        file=ITEMS,
        line="  if not caller.pool_names or caller.pool_names == caller.known_pools then return end\n",
        instead="  if caller.pool_names == caller.known_pools then return end\n",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="An unused pool is forgotten even behind many in use",
        file=f"{SCRIPTS}/forget_agents.lua",
        line="  return #pools == MAX_POOLS and string.format('%d', from + stay) or ''\n",
        instead="  return ''\n",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="A pool with items is not forgotten",
        file=f"{SCRIPTS}/forget_agents.lua",
        line="    if not has_agents and not has_items(owner, call('HGETALL', Owner.counts(owner))) then\n",
        instead="    if not has_agents then\n",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="A pool with agents is not forgotten",
        file=f"{SCRIPTS}/forget_agents.lua",
        line="    local has_agents = call('EXISTS', key('members', pool)) == 1\n",
        instead="    local has_agents = false\n",
        tests=("tests/unit/queue/test_pools.py",),
    ),
    Sabotage(
        guard="A stale holder adds no costs",
        file=f"{SCRIPTS}/add_usage.lua",
        line="  if token ~= Lease.shown_token(item) then Lease.refuse_lost(item, token) end\n",
        instead="",
        tests=("tests/unit/queue/test_usage.py",),
    ),
    Sabotage(
        guard="A role runs the scripts of its table only",
        file="gateway/taskorch_gateway/checks.py",
        line="    need_role(access, name)\n    _need_scope",
        instead="    _need_scope",
        tests=("tests/integration/test_gateway_roles.py",),
    ),
    Sabotage(
        guard="The caller of a gateway has the name of its token",
        file="gateway/taskorch_gateway/checks.py",
        line="    need_name(access, name_of_caller)\n",
        instead="",
        tests=("tests/integration/test_gateway_roles.py",),
    ),
    Sabotage(
        guard="No client reads the reply kept for another token",
        file="gateway/taskorch_gateway/checks.py",
        line='sha256(f"{access.token} {request}".encode())',
        instead="sha256(request.encode())",
        tests=("tests/integration/test_gateway_roles.py",),
    ),
    Sabotage(
        guard="A checked access token is checked again",
        file="gateway/taskorch_gateway/authentication.py",
        line="        if known and monotonic() < known[1]:\n",
        instead="        if known:\n",
        tests=(
            "tests/acceptance/test_gateway_tokens.py::test_rotated_token_keeps_its_new_client",
        ),
    ),
    Sabotage(
        guard="A stream of events ends when its token is revoked",
        file="gateway/taskorch_gateway/api/event_stream.py",
        line="                    change.add_done_callback(lambda _: self._news.put(LOST))\n",
        instead="",
        tests=(
            "tests/acceptance/test_api.py::test_idle_stream_of_revoked_token_ends",
        ),
    ),
    Sabotage(
        guard="Calls of the API with one key act once",
        file="gateway/taskorch_gateway/performer.py",
        line="    return Requests(same=requests.numbered(1)) if is_waiting else requests\n",
        instead="    return Requests()\n",
        tests=("tests/acceptance/test_api.py::test_same_key_acts_once",),
    ),
    Sabotage(
        guard="A look of a waiting pop with a key keeps no empty reply",
        file=f"{SCRIPTS}/claim.lua",
        line="    return nil, nil, asks_again\n",
        instead="    return nil\n",
        tests=(
            "tests/acceptance/test_api.py::test_repeated_waiting_pop_returns_the_same_item",
        ),
    ),
    Sabotage(
        guard="A wait is registered before its token is checked",
        file="gateway/taskorch_gateway/waits.py",
        line="                if not await admits():\n",
        instead="                if False:\n",
        tests=("tests/unit/gateway/test_token_changes.py",),
    ),
    Sabotage(
        guard="The API takes no argument twice",
        file="gateway/taskorch_gateway/api/request_arguments.py",
        line="            object_pairs_hook=_unique,\n",
        instead="",
        tests=("tests/integration/test_api_roles.py",),
    ),
    Sabotage(
        guard="A gateway answers no web page of another site",
        file="gateway/taskorch_gateway/hosts.py",
        line="            each.netloc == host and each.scheme in schemes for each in origins\n",
        instead="            True for each in origins\n",
        tests=(
            "tests/integration/test_gateway_roles.py::test_foreign_site_is_refused",
        ),
    ),
    Sabotage(
        guard="A gateway answers to its own names only",
        file="gateway/taskorch_gateway/hosts.py",
        line="        if self._hosts and name not in self._hosts:\n",
        instead="        if False:\n",
        tests=(
            "tests/integration/test_gateway_roles.py::test_foreign_site_is_refused",
        ),
    ),
    Sabotage(
        guard="A form of the board is of the same session",
        file="gateway/taskorch_gateway/board/forms.py",
        line="    if not hmac.compare_digest(shown.encode(), csrf_of(token).encode()):\n",
        instead="    if False:\n",
        tests=(
            "tests/integration/test_board_frame.py::test_form_needs_its_csrf",
        ),
    ),
    Sabotage(
        guard="A form comes from a page of the board",
        file="gateway/taskorch_gateway/board/origin.py",
        line="""    if not request.headers.get("origin"):\n""",
        instead="    if False:\n",
        tests=(
            "tests/unit/gateway/board/test_origin.py::test_form_without_origin_is_refused",
        ),
    ),
    Sabotage(
        guard="The board leads to no other site",
        file="gateway/taskorch_gateway/board/origin.py",
        line='    return text if re.fullmatch(_PATH, text) else ""\n',
        instead="    return text\n",
        tests=(
            "tests/unit/gateway/board/test_origin.py::test_other_site_is_no_path",
        ),
    ),
    Sabotage(
        guard="A viewer changes nothing on the board",
        file="gateway/taskorch_gateway/board/routes.py",
        line="            if not visit.may_act or (\n",
        instead="            if (\n",
        tests=(
            "tests/integration/test_board_frame.py::test_viewer_is_refused",
        ),
    ),
    Sabotage(
        guard="A worker sees no board",
        file="gateway/taskorch_gateway/board/visit.py",
        line="    if access.role not in MAY_LOOK:\n",
        instead="    if False:\n",
        tests=(
            "tests/integration/test_board_frame.py::test_worker_sees_no_board",
        ),
    ),
    Sabotage(
        guard="The board escapes every text",
        file="gateway/taskorch_gateway/board/template_code.py",
        line="        autoescape=True,\n",
        instead="        autoescape=False,  # noqa: S701\n",
        tests=(
            "tests/unit/gateway/board/test_pages.py::test_hostile_text_stays_text",
        ),
    ),
    Sabotage(
        guard="The board shows what is invisible",
        file="gateway/taskorch_gateway/board/template_code.py",
        line="        finalize=formats.visible,\n",
        instead="",
        tests=(
            "tests/integration/test_board_frame.py::test_forged_receipt_is_only_text",
        ),
    ),
    Sabotage(
        guard="A token of one project runs no script of all projects",
        file="gateway/taskorch_gateway/checks.py",
        line="    if access.project and not roles.may_run_in_a_project(script):\n",
        instead="    if False:\n",
        tests=(
            "tests/integration/test_gateway_roles.py::test_confined_token_runs_no_script_of_all_projects",
        ),
    ),
    Sabotage(
        guard="Scripts refuse an access token that is gone",
        file="shared/taskorch/queue/scripts/prelude/clients.lua",
        line="    if not v[1] or expires_at and expires_at <= now then refuse('TOKEN_REFUSED', {url = ''}) end\n",
        instead="",
        tests=(
            "tests/unit/queue/test_client_access.py::test_revoked_token_is_refused_by_scripts",
        ),
    ),
    Sabotage(
        guard="A step of a client leaves its line",
        file="shared/taskorch/queue/scripts/prelude/call.lua",
        line="      Access.record(reply)\n",
        instead="",
        tests=(
            "tests/unit/queue/test_client_access.py::test_step_leaves_a_line_with_its_ids",
        ),
    ),
    Sabotage(
        guard="A client has no more open items than its quota",
        file="shared/taskorch/queue/scripts/create.lua",
        line="  Access.need_items(missing)\n",
        instead="",
        tests=(
            "tests/unit/queue/test_client_access.py::test_open_items_over_the_quota_are_refused",
        ),
    ),
    Sabotage(
        guard="A client sets no field that belongs to scripts",
        file="gateway/taskorch_gateway/bounds.py",
        line="        if name not in known:\n",
        instead="        if False:\n",
        tests=(
            "tests/unit/gateway/test_bounds.py::test_client_sets_no_field_of_scripts",
        ),
    ),
    Sabotage(
        guard="Only a gateway names an access token",
        file="shared/taskorch/queue/scripts/prelude/clients.lua",
        line="      Rights.refuse('only a gateway names an access token.')\n",
        instead="",
        tests=(
            "tests/integration/test_redis_roles.py::test_only_administrators_name_an_access_token",
        ),
    ),
    Sabotage(
        guard="An agent waits for its own queue only",
        file="gateway/taskorch_gateway/wire.py",
        line="        need_name(access, agent)\n",
        instead="",
        tests=(
            "tests/integration/test_gateway_roles.py::test_agent_waits_for_its_own_queue",
        ),
    ),
    Sabotage(
        guard="A confined token follows no item of another project",
        file="gateway/taskorch_gateway/wire.py",
        line="            await self._need_visible(access, limits.item_id(item))\n",
        instead="",
        tests=(
            "tests/integration/test_gateway_roles.py::test_confined_token_follows_no_foreign_item",
        ),
    ),
    Sabotage(
        guard="An agent imports no reports through a gateway",
        file="gateway/taskorch_gateway/checks.py",
        line="    if _has_origin(name, words):\n",
        instead="    if False:\n",
        tests=(
            "tests/integration/test_gateway_roles.py::test_worker_states_no_origin",
        ),
    ),
    Sabotage(
        guard="The token of a worker finds its own items alone",
        file=ITEMS,
        line="  if not scope.is_of_worker() then return false end\n",
        instead="  if true then return false end\n",
        tests=(
            "tests/integration/test_gateway_roles.py::test_worker_finds_its_own_items_alone",
        ),
    ),
    Sabotage(
        guard="The token of a worker reads no project of other agents' items",
        file=f"{SCRIPTS}/prelude/discoveries.lua",
        line="    if not is_own then refuse_not_yours(item) end\n",
        instead="",
        tests=(
            "tests/integration/test_gateway_discoveries.py::test_worker_reads_no_project_of_others",
        ),
    ),
    Sabotage(
        guard="The confined token of a worker reads projects of its items alone",
        file=f"{SCRIPTS}/prelude/discoveries.lua",
        line="  local is_of_items = target == 'own' and scope.is_of_worker()\n",
        instead="  local is_of_items = false\n",
        tests=(
            "tests/integration/test_gateway_discoveries.py::test_confined_worker_without_items_reads_nothing",
        ),
    ),
    Sabotage(
        guard="The token of a worker reads no discoveries of all projects",
        file="gateway/taskorch_gateway/checks.py",
        line="    if target != discoveries.OWN and not limits.is_item_id(target):\n",
        instead="    if False:\n",
        tests=(
            "tests/integration/test_gateway_roles.py::test_worker_lists_nothing_of_others",
        ),
    ),
    Sabotage(
        guard="A wait of NaN seconds is refused",
        file="gateway/taskorch_gateway/exchange.py",
        line="        body = json.loads(content, parse_constant=_refuse_constant)\n",
        instead="        body = json.loads(content)\n",
        tests=(
            "tests/integration/test_gateway_roles.py::test_odd_duration_of_a_wait_harms_no_one",
        ),
    ),
    Sabotage(
        guard="A gateway reads no endless body",
        file="gateway/taskorch_gateway/exchange.py",
        line="                if len(content) > most_bytes:\n",
        instead="                if False:\n",
        tests=(
            "tests/integration/test_gateway_roles.py::test_body_of_many_megabytes_is_refused",
        ),
    ),
    Sabotage(
        guard="One token calls no more often than its rate",
        file="gateway/taskorch_gateway/rates.py",
        line="        if left < 1:\n",
        instead="        if False:\n",
        tests=("tests/unit/gateway/test_rates.py",),
    ),
    Sabotage(
        guard="One token has a part of the open requests",
        file="gateway/taskorch_gateway/open_requests.py",
        line="        if self._open[token] >= self._most:\n",
        instead="        if False:\n",
        tests=("tests/unit/gateway/test_open_requests.py",),
    ),
    Sabotage(
        guard="Strangers have a part of the connections for their bodies",
        file="gateway/taskorch_gateway/exchange.py",
        line="            request.scope[_STRANGERS] = self._strangers\n",
        instead="",
        tests=(
            "tests/integration/test_open_requests.py::test_slow_forms_of_strangers_leave_room_for_others",
        ),
    ),
    Sabotage(
        guard="A lost call of a gateway is sent again as a repeat",
        file="gateway/taskorch_gateway/direct_calls.py",
        line="                words = repeated(script, arguments)\n",
        instead="",
        tests=(
            "tests/integration/test_direct_calls.py::test_late_direct_call_stays_refused",
        ),
    ),
    Sabotage(
        guard="A gateway acknowledges no change that is not saved",
        file="gateway/taskorch_gateway/direct_calls.py",
        line="            self._unconfirmed.append((call, reply))\n",
        instead="            _answer(call, reply)\n",
        tests=(
            "tests/unit/gateway/test_direct_calls.py::test_unsaved_direct_change_is_not_acknowledged",
        ),
    ),
    Sabotage(
        guard="A client that does not read its reply is cut off",
        file="gateway/taskorch_gateway/bounded_http.py",
        line="        super().pause_writing()\n        self._limit_reply()\n",
        instead="        super().pause_writing()\n",
        tests=("tests/unit/gateway/test_bounded_http.py",),
    ),
    Sabotage(
        guard="A body that no one reads has a time limit",
        file="gateway/taskorch_gateway/bounded_http.py",
        line="HEAD_S if self._is_in_head else BODY_S",
        instead="HEAD_S if self._is_in_head else 1e6",
        tests=("tests/integration/test_gateway_attacks.py",),
    ),
    Sabotage(
        guard="Requests are not sent far ahead",
        file="gateway/taskorch_gateway/bounded_http.py",
        line="        if len(self.pipeline) > AHEAD:\n",
        instead="        if False:\n",
        tests=("tests/integration/test_gateway_attacks.py",),
    ),
    Sabotage(
        guard="Idle connections give way to new ones",
        file="gateway/taskorch_gateway/bounded_http.py",
        line="            oldest.transport.abort()\n",
        instead="            self.transport.abort()\n",
        tests=("tests/integration/test_gateway_attacks.py",),
    ),
    Sabotage(
        guard="New connections are served while all others are busy",
        file="gateway/taskorch_gateway/bounded_http.py",
        line="        return 0 if len(self._idle) > SPARE else SPARE\n",
        instead="        return 0\n",
        tests=("tests/unit/gateway/test_bounded_http.py",),
    ),
    Sabotage(
        guard="A gateway that stops gives back what it claims for calls that it cuts off",
        file="gateway/taskorch_gateway/app.py",
        line="                await performer.end()\n",
        instead="",
        tests=("tests/acceptance/test_gateway.py",),
    ),
    Sabotage(
        guard="A gateway that stops answers the requests that it cuts off",
        file="gateway/taskorch_gateway/app.py",
        line="            Middleware(CutOffRequests),\n",
        instead="",
        tests=("tests/acceptance/test_gateway.py",),
    ),
    Sabotage(
        guard="A client that leaves before it looks passes its wake-up on",
        file="gateway/taskorch_gateway/performer.py",
        line="                    self._waits.wake(owner)\n",
        instead="                    pass\n",
        tests=("tests/unit/gateway/test_client_waits.py",),
    ),
    Sabotage(
        guard="A request names one host",
        file="gateway/taskorch_gateway/hosts.py",
        line='        if len(headers.getlist("host")) > 1:',
        instead="        if False:",
        tests=("tests/integration/test_gateway_attacks.py",),
    ),
    Sabotage(
        guard="No item grows over 1 MiB",
        file=SIZES,
        line="  if after > before then refuse_over(id, after) end\n",
        instead="",
        tests=("tests/unit/queue/test_sizes.py",),
    ),
    Sabotage(
        guard="A call changes items of 1 MiB at most",
        file=f"{SCRIPTS}/edit.lua",
        line="    editing.refuse_many_bytes(item.id, #items)\n",
        instead="",
        tests=("tests/unit/queue/test_sizes.py",),
    ),
    Sabotage(
        guard="No item over 1 MiB is created",
        file=f"{SCRIPTS}/create.lua",
        line="  refuse_over(new.key, bytes_of_new(new))\n",
        instead="",
        tests=("tests/unit/queue/test_sizes.py",),
    ),
    Sabotage(
        guard="Discoveries of a project have a bound on their bytes",
        file=f"{SCRIPTS}/discover.lua",
        line="  if not oldest or total - bytes_before(oldest) <= MAX_DISCOVERY_BYTES then\n",
        instead="  if true then\n",
        tests=("tests/unit/queue/test_discoveries.py",),
    ),
    Sabotage(
        guard="A session has at most 255 characters",
        file="shared/taskorch/queue/agent_queue.py",
        line="        limits.session(caller.session)\n",
        instead="",
        tests=("tests/unit/queue/test_sizes.py",),
    ),
    Sabotage(
        guard="A package has a bound on its bytes",
        file=f"{SCRIPTS}/prelude/items.lua",
        line="if #found == most or read >= bytes then",
        instead="if #found == most then",
        tests=("tests/unit/queue/test_reply_sizes.py",),
    ),
    Sabotage(
        guard="A list of items has a bound on its bytes",
        file=f"{SCRIPTS}/prelude/views.lua",
        line="    if bytes_read >= most then return views, i - 1 end\n",
        instead="",
        tests=("tests/unit/queue/test_reply_sizes.py",),
    ),
    Sabotage(
        guard="A claim takes no more than one reply can have",
        file=f"{SCRIPTS}/prelude/claims.lua",
        line="    if bytes > MAX_REPLY_BYTES and i > 1 then",
        instead="    if false then",
        tests=("tests/unit/queue/test_reply_sizes.py",),
    ),
    Sabotage(
        guard="Large deliverables count as bytes of their item",
        file=f"{SCRIPTS}/complete.lua",
        line="    if #deliverables > ALWAYS_FIT then\n",
        instead="    if false then\n",
        tests=("tests/unit/queue/test_sizes.py",),
    ),
    Sabotage(
        guard="Open questions have 256 KiB at most",
        file=f"{SCRIPTS}/blocker.lua",
        line="  refuse_too_long(item, questions, same, text, needs)\n",
        instead="",
        tests=("tests/unit/queue/test_questions.py",),
    ),
    Sabotage(
        guard="A stale token is refused",
        file=LEASES,
        line="if token == Lease.shown_token(item) then return true end",
        instead="if true then return true end",
        tests=("tests/unit/queue/test_holders.py",),
    ),
    Sabotage(
        guard="The claim id is checked with the token",
        file=LEASES,
        line="return item.token .. ':' .. item.claim end",
        instead="return item.token .. ':' end",
        tests=("tests/unit/queue/test_holders.py",),
    ),
    Sabotage(
        guard="A given-up claim revokes its token",
        file=ITEMS,
        line="    call('HDEL', key('item', item.id), 'live_token')\n",
        instead="",
        tests=("tests/unit/queue/test_holders.py",),
    ),
    Sabotage(
        guard="A request acts once",
        file=CALL,
        line="    if kept then\n",
        instead="    if false then\n",
        tests=("tests/unit/queue/test_repeats.py",),
    ),
    Sabotage(
        guard="A late copy of a refused call is refused",
        file=CALL,
        line="  if refusal then keep_reply({refusal = refusal}) end\n",
        instead="",
        tests=("tests/integration/test_lost_replies.py",),
    ),
    Sabotage(
        guard="A late copy of an empty claim claims nothing",
        file=CALL,
        line="local is_kept = is_repeat and not is_unfinished",
        instead="local is_kept = is_repeat and reply",
        tests=("tests/integration/test_lost_replies.py",),
    ),
    Sabotage(
        guard="A repeated claim finds its items",
        file=f"{SCRIPTS}/claim.lua",
        line="end, nil, nil, claims_of_first_copy)",
        instead="end)",
        tests=("tests/unit/queue/test_item_requests.py",),
    ),
    Sabotage(
        guard="A repeated claim of an agent with many items finds its reply",
        file=f"{SCRIPTS}/prelude/claims.lua",
        line="return call('ZCARD', key('held', caller.agent)) <= MAX_HELD",
        instead="return true",
        tests=("tests/unit/queue/test_item_requests.py",),
    ),
    Sabotage(
        guard="A stopped run wakes another session",
        file="worker/taskorch_worker/run/pool.py",
        line="        self._pass_wake_on()\n",
        instead="",
        tests=(
            "tests/acceptance/test_run_stopped.py::test_stopped_wait_wakes_another_session",
        ),
    ),
    Sabotage(
        guard="A worker leaves a question that others have asked",
        file=f"{SCRIPTS}/complete.lua",
        line="    if leaves_blocked and item.state == 'blocked' then refuse_state(item, 'complete') end\n",
        instead="",
        tests=("tests/unit/library/test_prefetch.py",),
    ),
    Sabotage(
        guard="A stopped worker releases prefetched items",
        file="shared/taskorch/library/worker.py",
        line="            self._start(self._pool.release_ready)\n",
        instead="            pass\n",
        tests=("tests/unit/library/test_prefetch.py",),
    ),
    Sabotage(
        guard="A stopped worker claims nothing with its completion",
        file="shared/taskorch/library/pool.py",
        line="must_wait = self.is_stopped or self._pauses.left_s > 0",
        instead="must_wait = self._pauses.left_s > 0",
        tests=("tests/unit/library/test_prefetch.py",),
    ),
    Sabotage(
        guard="A lost prefetched item is not begun",
        file="shared/taskorch/library/pool.py",
        line="return is_ready and not task.lost",
        instead="return is_ready",
        tests=("tests/unit/library/test_prefetch.py",),
    ),
    Sabotage(
        guard="A repeated completion finds its reports",
        file=f"{SCRIPTS}/complete.lua",
        line="end, nil, nil, receipts_of_repeat)",
        instead="end)",
        tests=("tests/unit/queue/test_item_requests.py",),
    ),
    Sabotage(
        guard="A repeated completion shows the same news",
        file=f"{SCRIPTS}/complete.lua",
        line="is_on_items = is_on_items and Delivery.is_made_again(receipts[i])",
        instead="is_on_items = true",
        tests=("tests/unit/queue/test_item_requests.py",),
    ),
    Sabotage(
        guard="An item left to later calls is not forgotten",
        file=f"{SCRIPTS}/complete.lua",
        line="then note_unfinished('release:' .. item.id) end",
        instead="then end",
        tests=("tests/unit/queue/test_unfinished.py",),
    ),
    Sabotage(
        guard="A closing project takes no items",
        file=f"{SCRIPTS}/create.lua",
        line="status ~= 'active'",
        instead="status == 'completed'",
        tests=("tests/unit/queue/test_closed_projects.py",),
    ),
    Sabotage(
        guard="An item of a closing project is not claimed",
        file=LEASES,
        line="if status == 'closing' then refuse(",
        instead="if false then refuse(",
        tests=("tests/unit/queue/test_closed_projects.py",),
    ),
    Sabotage(
        guard="A fence refuses a slot that is being moved",
        file=CALL,
        line="call('MGET', prefix .. 'fence:1', prefix .. 'fence:2', key('req', request))[3]",
        instead="false",
        tests=("tests/integration/test_cluster.py",),
    ),
    Sabotage(
        guard="Rights are checked before the first write",
        file=CALL,
        line="      Rights.check()\n",
        instead="",
        tests=("tests/integration/test_rights.py",),
    ),
    Sabotage(
        guard="Rights to every kind of key are checked before the first write",
        file=CALL,
        line="  for _, kind in ipairs(KINDS) do Rights.need('HINCRBY', prefix .. kind) end\n",
        instead="",
        tests=("tests/integration/test_redis_roles.py",),
    ),
    Sabotage(
        guard="A user of Redis acts in its role and under its name",
        file=CALL,
        line="  Rights.check_user()\n",
        instead="",
        tests=("tests/integration/test_redis_roles.py",),
    ),
    Sabotage(
        guard="An agent decides only as the reviewer",
        file=f"{SCRIPTS}/prelude/reviews.lua",
        line="  if Review.is_of_agent(as_agent) and reviewer ~= caller.agent then\n",
        instead="  if false then\n",
        tests=("tests/unit/queue/test_reviews.py",),
    ),
    Sabotage(
        guard="Nobody accepts their own work",
        file=f"{SCRIPTS}/prelude/reviews.lua",
        line="  if item.agent == caller.agent then\n",
        instead="  if false then\n",
        tests=("tests/unit/queue/test_reviews.py",),
    ),
    Sabotage(
        guard="A token of a worker decides as an agent",
        file=f"{SCRIPTS}/prelude/reviews.lua",
        line="return as_agent or caller.access.role == 'worker' end",
        instead="return as_agent end",
        tests=(
            "tests/unit/queue/test_reviews.py::test_token_of_worker_decides_as_agent",
        ),
    ),
    Sabotage(
        guard="A user of Redis in the role of a worker decides as an agent",
        file=f"{SCRIPTS}/prelude/reviews.lua",
        line="  return true\n",
        instead="  return false\n",
        tests=(
            "tests/integration/test_redis_roles.py::test_worker_reviews_only_as_the_reviewer",
        ),
    ),
    Sabotage(
        guard="An item with a reviewer is not completed by its agent",
        file=f"{SCRIPTS}/complete.lua",
        line="  if item.reviewer then\n",
        instead="  if false then\n",
        tests=("tests/unit/queue/test_reviews.py",),
    ),
    Sabotage(
        guard="A user of Redis acts under its own name",
        file=CALL,
        line="  if not redis.acl_check_cmd('HGET', key('as', caller.agent)) then\n",
        instead="  if false then\n",
        tests=(
            "tests/integration/test_redis_roles.py::test_worker_acts_under_its_own_name",
        ),
    ),
    Sabotage(
        guard="A user of Redis acts in its own role",
        file=CALL,
        line="    if redis.acl_check_cmd('HGET', key('role', role)) then return end\n",
        instead="    do return end\n",
        tests=(
            "tests/integration/test_redis_roles.py::test_role_runs_the_scripts_of_its_table",
        ),
    ),
    Sabotage(
        guard="Sentinels are asked again",
        file="shared/taskorch/transport/failover.py",
        line="if monotonic() - self._found_at > self._timing.ask_again_s:",
        instead="if False:",
        tests=("tests/integration/test_sentinel.py",),
    ),
    Sabotage(
        guard="An expired lease is reaped",
        file=LEASES,
        line="local reaped = Lease.act_on_due('leases', 'in_progress', Lease.expire, limit)",
        instead="local reaped = 0",
        tests=("tests/unit/queue/test_leases.py",),
    ),
    Sabotage(
        guard="A delayed item is promoted",
        file=LEASES,
        line="local promoted = Lease.act_on_due('delayed', 'delayed', Lease.promote, limit)",
        instead="local promoted = 0",
        tests=("tests/unit/queue/test_attempts.py",),
    ),
    Sabotage(
        guard="A lost lease entry is restored",
        file=LEASES,
        line="call('ZADD', prefix .. 'leases', now + item.claim_lease_ms, id)",
        instead="call('PING')",
        tests=("tests/unit/queue/test_attempts.py",),
    ),
    Sabotage(
        guard="A claim counts the attempt",
        file=LEASES,
        line="  item.live_token = item.token\n  item.attempts = item.attempts + 1\n",
        instead="  item.live_token = item.token\n",
        tests=("tests/unit/queue/test_attempts.py",),
    ),
    Sabotage(
        guard="A poison item becomes a dead letter",
        file=LEASES,
        line="if retry and item.attempts < item.max_attempts then",
        instead="if retry then",
        tests=("tests/unit/queue/test_attempts.py",),
    ),
    Sabotage(
        guard="Guards come before the first write",
        file=f"{SCRIPTS}/complete.lua",
        line="    Lease.check_holder(item, token, 'complete', true)\n",
        instead="    seen()\n    Lease.check_holder(item, token, 'complete', true)\n",
        tests=("tests/unit/queue/test_holders.py",),
    ),
    Sabotage(
        guard="A second delivery with other content is refused",
        file=f"{SCRIPTS}/prelude/deliveries.lua",
        line="  if not is_known then\n",
        instead="  if false then\n",
        tests=("tests/unit/queue/test_holders.py",),
    ),
    Sabotage(
        guard="A repeated step returns the same next item",
        file=f"{SCRIPTS}/complete.lua",
        line="local claimed = next_limit and table.remove(receipts)",
        instead="local claimed = next_limit and {table.remove(receipts)} and claim_next(1, lease)",
        tests=("tests/unit/queue/test_next.py",),
    ),
    Sabotage(
        guard="An item is in one index only",
        file=ITEMS,
        line="  if from then drop(from, item.id) end\n",
        instead="",
        tests=("tests/unit/queue/test_transitions.py",),
    ),
    Sabotage(
        guard="Counts equal the items",
        file=ITEMS,
        line="  count_item(item, -1)\n",
        instead="",
        tests=("tests/unit/queue/test_transitions.py",),
    ),
    Sabotage(
        guard="A dependency holds an item back",
        file=ITEMS,
        line="  if open > 0 then return 'waiting', now end\n",
        instead="",
        tests=("tests/unit/queue/test_dependencies.py",),
    ),
    Sabotage(
        guard="A requeued dependency holds an item back again",
        file=f"{SCRIPTS}/requeue.lua",
        line="  move(dependent, 'waiting', now)\n",
        instead="",
        tests=("tests/unit/queue/test_dependencies.py",),
    ),
    Sabotage(
        guard="A dependency that an edit adds closes no circle",
        file=f"{SCRIPTS}/edit.lua",
        line="  refuse_cycles(items, edits)\n",
        instead="",
        tests=("tests/unit/queue/test_edit.py",),
    ),
    Sabotage(
        guard="An item of the board that has changed is shown before acting",
        file="gateway/taskorch_gateway/board/item_actions.py",
        line="    if not seen or seen == _seen(found):\n",
        instead="    if seen:\n",
        tests=("tests/integration/test_board_item.py",),
    ),
    Sabotage(
        guard="A new item depends only on existing items",
        file=f"{SCRIPTS}/create.lua",
        line="local state = id ~= '' and need_state(id)",
        instead="local state = nil",
        tests=("tests/unit/queue/test_create.py",),
    ),
    Sabotage(
        guard="An idempotency key creates one item",
        file=f"{SCRIPTS}/create.lua",
        line="  if id then return need_item(id) end\n",
        instead="",
        tests=("tests/unit/queue/test_create.py",),
    ),
    Sabotage(
        guard="A plan key creates one project",
        file=f"{SCRIPTS}/create.lua",
        line="local id = plan ~= '' and call('HGET', prefix .. 'plans', plan)",
        instead="local id = false",
        tests=("tests/unit/queue/test_create.py",),
    ),
    Sabotage(
        guard="A waiting pop wakes up",
        file=CALL,
        line="  if call('LLEN', list) < 2 then call('RPUSH', list, '1') end\n",
        instead="",
        tests=("tests/unit/queue/test_waiting_claims.py",),
    ),
    Sabotage(
        guard="All keys share one slot",
        file=CALL,
        line="local function key(kind, id) return prefix .. kind",
        instead="local function key(kind, id) return kind",
        tests=("tests/integration/test_one_slot.py",),
    ),
    Sabotage(
        guard="An audit finds an item that is not in its index",
        file=f"{SCRIPTS}/audit.lua",
        line="  if score and (not right or tonumber(score) == right) then return end\n",
        instead="  if score or item then return end\n",
        tests=("tests/unit/queue/test_audit.py",),
    ),
    Sabotage(
        guard="Counts are compared only without newer events",
        file=f"{SCRIPTS}/recount.lua",
        line="  if View.newest_event() ~= event then return {'', {}} end\n",
        instead="",
        tests=("tests/unit/queue/test_audit.py",),
    ),
    Sabotage(
        guard="No other script runs during an import",
        file=CALL,
        line="if found and found ~= SCHEMA and not (accept and accept[found]) then",
        instead="if found and found ~= SCHEMA and found ~= 'importing' then",
        tests=("tests/unit/backup/test_restore.py",),
    ),
    Sabotage(
        guard="A project with awaited items is not purged",
        file=f"{SCRIPTS}/purge.lua",
        line="    if waiting then\n",
        instead="    if false then\n",
        tests=("tests/unit/queue/test_purge.py",),
    ),
    Sabotage(
        guard="A purge leaves the files that a worker has changed",
        file="orchestrator/taskorch_orchestrator/mirror/purged_files.py",
        line="if not saved or self._folder.signature(name) != saved:",
        instead="if not saved:",
        tests=("tests/unit/mirror/test_purged_files.py",),
    ),
    Sabotage(
        guard="A purge keeps a copy of a changed handoff",
        file="orchestrator/taskorch_orchestrator/mirror/purged_files.py",
        line="if not handoff_package.is_unchanged(handoff.data):",
        instead="if not handoff.data:",
        tests=("tests/unit/mirror/test_purged_files.py",),
    ),
    Sabotage(
        guard="A purge keeps a copy of a text that a person added",
        file="orchestrator/taskorch_orchestrator/mirror/item_sync.py",
        line="if report_files.has_additions(kind, header, entries):",
        instead="if not kind:",
        tests=("tests/unit/mirror/test_purged_files.py",),
    ),
    Sabotage(
        guard="A late copy of `token create` gives the token no secret",
        file=f"{SCRIPTS}/create_access_token.lua",
        line="if not is_repeat or exists ~= '' then return reply end",
        instead="if exists ~= '' then return reply end",
        tests=("tests/unit/queue/test_access_tokens.py",),
    ),
    Sabotage(
        guard="One root archives a project",
        file=f"{SCRIPTS}/archive_take.lua",
        line="if is_others or not is_old then",
        instead="if not is_old then",
        tests=("tests/unit/backup/test_archive.py",),
    ),
    Sabotage(
        guard="Only the newest run ends an archive",
        file=f"{SCRIPTS}/archive_done.lua",
        line="if call('HGET', archive, 'run') ~= run then return '' end",
        instead="",
        tests=("tests/unit/backup/test_archive.py",),
    ),
    Sabotage(
        guard="A damaged project is not archived",
        file="orchestrator/taskorch_orchestrator/backup/archive.py",
        line="            if damage:\n",
        instead="            if False:\n",
        tests=("tests/unit/backup/test_archive.py",),
    ),
    Sabotage(
        guard="An agent with items is not forgotten",
        file=f"{SCRIPTS}/forget_agents.lua",
        line="if is_count and fields[i + 1] ~= '0' then return true end",
        instead="",
        tests=("tests/unit/queue/test_forgotten_agents.py",),
    ),
    Sabotage(
        guard="An export interrupted by a purge is refused",
        file="shared/taskorch/queue/backup.py",
        line="        if purges_since != purges:\n",
        instead="        if False:\n",
        tests=("tests/unit/queue/test_purge.py",),
    ),
    Sabotage(
        guard="A second session does not use another session's token",
        file="worker/taskorch_worker/lease_store.py",
        line='kept["session"] == self.session',
        instead="True",
        tests=("tests/acceptance/test_sessions.py",),
    ),
    Sabotage(
        guard="A command of a run has no lease of another slot or session",
        file="worker/taskorch_worker/inherited_lease.py",
        line="return Lease(item=item)\n",
        instead="return self._workspace.lease(item)\n",
        tests=("tests/acceptance/test_run_claims.py",),
    ),
    Sabotage(
        guard="A worktree with changes is not removed",
        file="worker/taskorch_worker/git.py",
        line="            status\n            or git(",
        instead="            git(",
        tests=("tests/acceptance/test_run_worktree.py",),
    ),
    Sabotage(
        guard="Two attempts do not share a worktree",
        file="worker/taskorch_worker/run/worktrees.py",
        line="if not files.take_lock(descriptor):",
        instead="if False:",
        tests=("tests/acceptance/test_run_worktree.py",),
    ),
    Sabotage(
        guard="An unanswered command repeats its request id",
        file="shared/taskorch/queue/requests.py",
        line="            return unanswered + REPEAT\n",
        instead="            return os.urandom(8).hex()\n",
        tests=("tests/unit/queue/test_requests.py",),
    ),
    Sabotage(
        guard="A late repeat does not return another session's claim",
        file=f"{SCRIPTS}/prelude/leases.lua",
        line="return item and Lease.is_live(item, token) and token or ''",
        instead="return token",
        tests=("tests/unit/queue/test_requests.py",),
    ),
    Sabotage(
        guard="A wait misses no event after its last read",
        file="shared/taskorch/queue/waits.py",
        line="latest.stream, latest.cursor, block_s",
        instead='latest.stream, "$", block_s',
        tests=("tests/unit/queue/test_waits.py",),
    ),
    Sabotage(
        guard="A forced assignment is reported to the old holder",
        file=f"{SCRIPTS}/assign.lua",
        line="    Reports.add_end(item.agent, item, 'lost', 'text', 'taken away by ' .. caller.agent)\n",
        instead="",
        tests=("tests/unit/queue/test_waits.py",),
    ),
    Sabotage(
        guard="A text cannot close its code fence",
        file="shared/taskorch/cli/quoting.py",
        line='fence = "`" * max(3, longest + 1)',
        instead='fence = "`" * 3',
        tests=("tests/unit/queue/test_prime.py",),
    ),
    Sabotage(
        guard="A hook ends when Redis is unreachable",
        file="shared/taskorch/cli/time_limit.py",
        line="    timer.start()\n",
        instead="",
        tests=("tests/acceptance/test_hooks.py",),
    ),
    Sabotage(
        guard="A session is not reminded of another session's item",
        file="shared/taskorch/config/settings.py",
        line="    session = sessions.current(environment)\n",
        instead='    session = ""\n',
        tests=(
            "tests/acceptance/test_program_sessions.py::test_each_session_is_reminded_of_its_own_item",
        ),
    ),
    Sabotage(
        guard="The stop hook reminds an agent once per turn",
        file="worker/taskorch_worker/stop_hook.py",
        line='payload.get("stop_hook_active") or ',
        instead="",
        tests=("tests/acceptance/test_hooks.py",),
    ),
    Sabotage(
        guard="Setup keeps the other contents of a program's file",
        file="orchestrator/taskorch_orchestrator/setup/json_entries.py",
        line="if len(members) > 1 or not _was_created_for(text, bracket, member):",
        instead="if len(members) > 1:",
        tests=("tests/unit/setup/test_json_entries.py",),
    ),
    Sabotage(
        guard="Setup changes all files of a program or none",
        file="orchestrator/taskorch_orchestrator/setup/managed_file.py",
        line="undo.callback(_move, before, target)",
        instead="pass",
        tests=("tests/unit/setup/test_managed_file.py",),
    ),
    Sabotage(
        guard="A run repeats a call with the same request id",
        file="shared/taskorch/transport/retry.py",
        line="return self._connection.run_script(script, key, words)",
        instead="return self._connection.run_script(script, key, (hex(hash((arguments, failures))), *arguments[1:]))",
        tests=("tests/acceptance/test_run_outage.py",),
    ),
    Sabotage(
        guard="A stopping run does not wait for a hanging Redis",
        file="worker/taskorch_worker/run/pool.py",
        line="while self._slots and (self._left_s > 0 or not self._events.empty()):",
        instead="while self._slots:",
        tests=("tests/acceptance/test_run_outage.py",),
    ),
    Sabotage(
        guard="A stopping run that stands still releases its items",
        file="worker/taskorch_worker/run/pool.py",
        line="self._left_s -= min(monotonic() - began_at, REPEAT_S)",
        instead="self._left_s -= monotonic() - began_at",
        tests=("tests/acceptance/test_run_stopped.py",),
    ),
    Sabotage(
        guard="All slots of a run pause after a release",
        file="worker/taskorch_worker/run/paused_connection.py",
        line="        while (left_s := self._pauses.left_s) > 0:\n",
        instead="        while (left_s := 0) > 0:\n",
        tests=("tests/acceptance/test_run.py",),
    ),
    Sabotage(
        guard="A cancelled claim gives its item back",
        file="shared/taskorch/library/stoppable.py",
        line="            self._undo(self.future.result())\n",
        instead="            pass\n",
        tests=("tests/integration/test_library_race.py",),
    ),
    Sabotage(
        guard="An interrupted wait passes its wake token on",
        file="shared/taskorch/library/agent.py",
        line="                    self.queue.pass_wake_on()\n",
        instead="                    pass\n",
        tests=("tests/integration/test_library_race.py",),
    ),
    Sabotage(
        guard="A task that was settled is not settled again",
        file="shared/taskorch/library/task.py",
        line="        if self.end_of_attempt:\n            return\n",
        instead="",
        tests=("tests/unit/library/test_task.py",),
    ),
    Sabotage(
        guard="A waiting command does not restart a stopped server",
        file="shared/taskorch/bundled/on_demand.py",
        line="if server.was_stopped(self._settings, self._opened_at)",
        instead="if False",
        tests=("tests/acceptance/test_embedded.py",),
    ),
    Sabotage(
        guard="Processes of a killed run are terminated",
        file="worker/taskorch_worker/run/reaper.py",
        line="    _terminate(groups, float(grace_s))\n",
        instead="",
        tests=("tests/acceptance/test_run_stopped.py",),
    ),
    Sabotage(
        guard="A terminated command leaves no session of a child",
        file="worker/taskorch_worker/run/reaper.py",
        line="        new = _processes_below(group, below) - below\n",
        instead="        new = frozenset()\n",
        tests=(
            "tests/acceptance/test_run_stopped.py::test_timeout_ends_the_session_of_a_child",
        ),
    ),
    Sabotage(
        guard="A terminated command starts no session before its end",
        file="worker/taskorch_worker/run/reaper.py",
        line="    below = stop_command(group, known)\n",
        instead="    below = known\n",
        tests=(
            "tests/acceptance/test_run_stopped.py::test_session_started_meanwhile_ends",
        ),
    ),
    Sabotage(
        guard="A program that refused its calls completes nothing",
        file="worker/taskorch_worker/run/settle.py",
        line="        outcome = outcome.without_report\n",
        instead="        pass\n",
        tests=("tests/unit/run/test_settle.py",),
    ),
    Sabotage(
        guard="A stream ends only when its own reader is gone",
        file="orchestrator/taskorch_orchestrator/watch/stream.py",
        line="        if _reader_is_gone(0):\n",
        instead="        if sys.stdout:\n",
        tests=(
            "tests/acceptance/test_watch.py::test_stream_survives_kill_of_bundled_server",
        ),
    ),
    Sabotage(
        guard="A client of a demoted primary finds the new one",
        file="shared/taskorch/transport/failover.py",
        line='error.status_code or _WORDS.get(type(error), "")',
        instead='error.status_code or ""',
        tests=("tests/unit/transport/test_redis_errors.py",),
    ),
    Sabotage(
        guard="A report waits for replicas",
        file="shared/taskorch/queue/port.py",
        line='    "progress", "discover", "note", "blocker", "withdraw", "renew", "release", "fail", "complete",\n',
        instead='    "complete",\n',
        tests=("tests/integration/test_replicas.py",),
    ),
    Sabotage(
        guard="Every MCP request is answered",
        file="shared/taskorch/mcp/server.py",
        line="            self._finish()\n",
        instead="            pass\n",
        tests=(
            "tests/acceptance/test_mcp_calls.py::test_piped_requests_are_all_answered",
        ),
    ),
    Sabotage(
        guard="A run pauses when its command keeps failing",
        file="worker/taskorch_worker/run/pool.py",
        line="        seconds = self._pauses.pause_after_failure()\n",
        instead="        seconds = 1.0\n",
        tests=(
            "tests/acceptance/test_run.py::test_failing_command_makes_the_run_pause",
        ),
    ),
    Sabotage(
        guard="PID 1 reaps adopted orphans",
        file="worker/taskorch_worker/commands/run.py",
        line="    split_off_init()\n",
        instead="",
        tests=(
            "tests/acceptance/test_run_init.py::test_adopted_orphans_are_reaped",
        ),
    ),
    Sabotage(
        guard="Nothing is sent to a server of another user",
        file="shared/taskorch/transport/socket.py",
        line="        _need_known_peer(opened, path, private=private)\n",
        instead="",
        tests=("tests/unit/transport/test_unix_socket.py",),
    ),
    Sabotage(
        guard="Data without a record is not loaded",
        file="shared/taskorch/bundled/server_data.py",
        line="    if exists(data):\n",
        instead="    if False:\n",
        tests=("tests/unit/bundled/test_server_data.py",),
    ),
    Sabotage(
        guard="A step that was not written to disk is not acknowledged",
        file="shared/taskorch/transport/socket.py",
        line='if not line.startswith("MISCONF"):',
        instead="if True:",
        tests=("tests/acceptance/test_server_accidents.py",),
    ),
    Sabotage(
        guard="Only a proven process gets a signal",
        file="shared/taskorch/bundled/process_record.py",
        line="_started(self.pid) == self.started",
        instead="self.pid > 0",
        tests=("tests/unit/bundled/test_process_record.py",),
    ),
    Sabotage(
        guard="Cleanup does not follow links of a checkout",
        file="shared/taskorch/config/unanswered.py",
        line="        files.make_private_folder(place.parent)",
        instead="        place.parent.mkdir(exist_ok=True)",
        tests=("tests/acceptance/test_server_attacks.py",),
    ),
    Sabotage(
        guard="Setup asks before it follows a link out of the project",
        file="orchestrator/taskorch_orchestrator/commands/setup.py",
        line="    if yes or target.is_user or not outside:\n",
        instead="    if True:\n",
        tests=(
            "tests/acceptance/test_setup.py::test_link_out_of_project_is_refused_with_target",
        ),
    ),
    Sabotage(
        guard="A changed TOML file is parsed again",
        file="orchestrator/taskorch_orchestrator/setup/toml_entries.py",
        line="    if is_left or _others(after, entries) != _others(document, entries):",
        instead="    if False:",
        tests=("tests/unit/setup/test_toml_entries.py",),
    ),
    Sabotage(
        guard="A config file of a checkout is trusted before it takes effect",
        file="shared/taskorch/config/settings.py",
        line="        if value and not is_safe and not self._is_trusted():\n",
        instead="        if False:\n",
        tests=("tests/unit/config/test_trust.py",),
    ),
    Sabotage(
        guard="The password file of a root stays inside it",
        file="shared/taskorch/config/secret_file.py",
        line="    if not secret_file.stays_inside:\n",
        instead="    if True:\n",
        tests=("tests/unit/config/test_password.py",),
    ),
    Sabotage(
        guard="A worktree must be listed by its main checkout",
        file="shared/taskorch/config/root_folder.py",
        line='if not os.path.samefile(listed, os.path.join(top, ".git")):',
        instead="if False:",
        tests=("tests/unit/config/test_root_folder.py",),
    ),
    Sabotage(
        guard="A folder of another user is not used",
        file="shared/taskorch/config/root_folder.py",
        line="    if status.st_uid not in (os.getuid(), 0):\n        reason =",
        instead="    if False:\n        reason =",
        tests=("tests/unit/config/test_root_folder.py",),
    ),
    Sabotage(
        guard="A reading command creates no queue",
        file="shared/taskorch/connections.py",
        line="    if access is not Access.CREATE and not settings.has_folder:\n",
        instead="    if False:\n",
        tests=(
            "tests/acceptance/test_access.py::test_command_without_create_access_reports_missing_queue",
        ),
    ),
    Sabotage(
        guard="An RQ job with a callback is not run",
        file="orchestrator/taskorch_orchestrator/service/rq_jobs.py",
        line="    if any(value for name, value in fields.items() if name not in FIELDS):\n",
        instead="    if False:\n",
        tests=("tests/integration/test_jobs.py",),
    ),
    Sabotage(
        guard="An RQ job must name a known duty",
        file="orchestrator/taskorch_orchestrator/service/rq_jobs.py",
        line="        if duty not in self.duties:\n",
        instead="        if False:\n",
        tests=("tests/integration/test_jobs.py",),
    ),
    Sabotage(
        guard="A malformed address is not shown",
        file="shared/taskorch/transport/address.py",
        line="    if not _is_well_formed(url):\n",
        instead="    if False:\n",
        tests=("tests/unit/transport/test_address.py",),
    ),
    Sabotage(
        guard="Other users are kept out of handoffs",
        file="shared/taskorch/config/files.py",
        line="    remove_rights(folder, 0o077 & ~_group_rights(os.fstat(folder)))\n",
        instead="",
        tests=("tests/unit/config/test_files.py",),
    ),
    Sabotage(
        guard="Files of a missing queue are moved aside",
        file="orchestrator/taskorch_orchestrator/mirror/gone_queue.py",
        line="        moved = _move(context, home, folder)\n",
        instead="        moved = 0\n",
        tests=("tests/unit/mirror/test_gone_queue.py",),
    ),
    Sabotage(
        guard="No worker opens a file during an append",
        file=f"{MIRROR}/file_append.py",
        line="        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n",
        instead="",
        tests=("tests/unit/mirror/test_item_append.py",),
    ),
    Sabotage(
        guard="An append that was killed is finished",
        file=f"{MIRROR}/sync_pass.py",
        line="        self._folder.finish_append()\n",
        instead="",
        tests=("tests/unit/mirror/test_item_append.py",),
    ),
    Sabotage(
        guard="Only the rest of an own append is finished",
        file=f"{MIRROR}/file_append.py",
        line="        if _is_part(os.pread(file, len(added.data) + 1, end), added):\n",
        instead="        if True:\n",
        tests=("tests/unit/mirror/test_item_append.py",),
    ),
    Sabotage(
        guard="A failed append leaves the file as it was",
        file=f"{MIRROR}/file_append.py",
        line="            os.ftruncate(file, end)\n            _write(file, added.closing, end)\n",
        instead="",
        tests=("tests/unit/mirror/test_item_append.py",),
    ),
    Sabotage(
        guard="A file that a worker has written is read",
        file=f"{MIRROR}/item_append.py",
        line="        self._check_files()\n",
        instead="",
        tests=("tests/unit/mirror/test_mirror_in.py",),
    ),
    Sabotage(
        guard="An appended report keeps the order of its file",
        file=f"{MIRROR}/item_append.py",
        line="            if place <= last or (end and not end.written_at):\n",
        instead="            if False:\n",
        tests=("tests/unit/mirror/test_item_append.py",),
    ),
    Sabotage(
        guard="A full pass reads all files again",
        file=f"{MIRROR}/changes.py",
        line="        state.forget_all_synced()\n",
        instead="",
        tests=("tests/unit/mirror/test_item_append.py",),
    ),
    Sabotage(
        guard="A call begins with nothing of the call before",
        file=CALL,
        line="  refusal, batch, caller_was_seen = nil, nil, false\n",
        instead="  refusal, caller_was_seen = nil, false\n",
        tests=("tests/integration/test_functions.py",),
    ),
    Sabotage(
        guard="The hash of the library follows an edited script",
        file="shared/taskorch/queue/library.py",
        line="        if cached == seen:\n",
        instead="        if cached:\n",
        tests=("tests/unit/queue/test_library.py",),
    ),
    Sabotage(
        guard="A repeat is answered although memory is full",
        file="shared/taskorch/transport/script_calls.py",
        line='_WRITES_REFUSED = ("OOM", ',
        instead="_WRITES_REFUSED = (",
        tests=("tests/integration/test_functions.py",),
    ),
    Sabotage(
        guard="A missing function runs as a script",
        file="shared/taskorch/transport/script_calls.py",
        line="        is_impossible = lacks_function(error) or",
        instead="        is_impossible =",
        tests=("tests/integration/test_functions.py",),
    ),
    Sabotage(
        guard="A library that is called is not removed",
        file="shared/taskorch/queue/libraries.py",
        line="0 < each.called_at < before_ms",
        instead="each.called_at",
        tests=("tests/integration/test_functions.py",),
    ),
)


def main(names: Sequence[str]) -> int:
    """Remove each guard whose name contains one of `names` (all without names).

    Return 1 if the tests of a guard stay green, else 0.
    """
    green = 0
    for sabotage in SABOTAGES:
        if not names or any(
            name.lower() in sabotage.guard.lower() for name in names
        ):
            caught = caught_by(sabotage)
            green += not caught
            sys.stdout.write(
                f"{sabotage.guard}: {caught or 'NOTHING WENT RED'}\n"
            )
            sys.stdout.flush()
    return 1 if green else 0


def caught_by(sabotage: Sabotage) -> str:
    """Run the tests of a guard without it; return the first that turns red, or ""."""
    with TemporaryDirectory(prefix="sabotage-") as folder:
        copy = Path(folder)
        for name in NEEDED:
            whole = ROOT / name
            if whole.is_dir():
                shutil.copytree(
                    whole,
                    copy / name,
                    ignore=shutil.ignore_patterns("__pycache__"),
                )
            else:
                shutil.copy(whole, copy / name)
        file = copy / sabotage.file
        file.write_text(
            file.read_text(encoding="utf-8").replace(
                sabotage.line, sabotage.instead
            ),
            encoding="utf-8",
        )
        source = os.pathsep.join(str(copy / name) for name in NEEDED[:4])
        ran = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-x",
                "-q",
                "-p",
                "no:cacheprovider",
                *sabotage.tests,
            ],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": source, "PYTEST_SABOTAGED": "1"},
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )
    failed = re.search(
        r"^(?:FAILED|ERROR) [^\s\[]*/([^\s\[]+)",  # without the values of a case
        ran.stdout,
        re.MULTILINE,
    )
    return failed[1] if failed else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
