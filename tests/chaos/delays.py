"""Retry delays are skipped, because a run has no time to wait for them."""

from contextlib import suppress

import redis
from taskorch.queue import keys

from chaos.deployments import NAMESPACE, Deployment

#: One script, so that it only changes items that are still delayed.
_MAKE_DUE = """
local prefix = string.sub(KEYS[1], 1, -#'delayed' - 1)
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, 199)) do
  if redis.call('HGET', prefix .. 'item:' .. id, 'state') == 'delayed' then
    redis.call('HSET', prefix .. 'item:' .. id, 'not_before', 1)
    redis.call('ZADD', KEYS[1], 1, id)
  end
end
"""


def make_delayed_items_due(deployment: Deployment) -> None:
    """Make delayed items due on the server that has the namespace; ignore failures."""
    for node in deployment.nodes():
        with suppress(redis.RedisError):
            node.eval(_MAKE_DUE, 1, keys.tag(NAMESPACE) + "delayed")
