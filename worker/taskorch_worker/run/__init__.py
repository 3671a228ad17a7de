"""`worker run`: one command per item, in a pool of child processes."""
