"""The HTTP API: the verbs of both roles, as one table describes them."""
