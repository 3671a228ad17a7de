"""The audit log: a line for each change that a client has asked for."""

import json
import logging
import re
from collections.abc import Sequence

from taskorch.domain.access_token import ClientAccess
from taskorch.queue.port import Script

_log = logging.getLogger(__name__)
_ID = re.compile(r"(item|proj|tok)_[0-9a-z]{1,32}")
#: Maximum number of ids in a line.
MOST_IDS = 10


class AuditLog:
    """Logs who changed what, with the outcome; never a text of an agent."""

    def record(
        self,
        access: ClientAccess,
        script: Script,
        words: Sequence[str],
        refusal: str,
    ) -> None:
        """Write a line about a call, unless it only reads.

        `refusal` begins with the word of the error that refused it; "" for a success.
        """
        if not script.acts:
            return
        ids = [word for word in words[6:] if _ID.fullmatch(word)]
        line = {
            "token": access.token,
            "name": access.name,
            "verb": script.name,
            "ids": ids[:MOST_IDS],
            "outcome": refusal.partition(" ")[0] or "done",
        }
        _log.info("audit %s", json.dumps(line))
