"""Live updates of open boards, as server-sent events (SSE).

A process has one subscription to the events, for all of its boards. Events are gathered;
then the views are read once for each kind of access, rendered once, and sent to all
boards of that kind: only the fragments that have changed. While nothing happens nothing
is read. A board of any other page gets the ids that events name, and reads its own parts
again.

    GET /live?fragments=now&have=status:1a2b+agents:3c4d&since=1712-0

`fragments` is "now" for all fragments, "status" for the one in the top bar, or missing.
`have` are the versions that the page shows: the stream begins with those that differ.
`since` is the newest event that the page knows.

    event: fragment   {"name": "agents", "version": "3c4d", "html": "<section id=…"}
    event: touched    {"items": ["item_…"], "projects": ["proj_…"]}, or {"all": true}
    event: state      {"redis": "ok"}, or "away" while Redis is unreachable
    event: alive      {"now": 1712000000000}, every 15 seconds
    event: end        {"why": "token"}: the token is no longer valid. It does not reconnect.

`id:` is the cursor of the newest event. Fragments have no csrf and no key in their forms
(`value=""`): the script fills them in, and the first page has them from the server.
"""
