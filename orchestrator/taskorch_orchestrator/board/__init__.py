"""How a person gets to the board: its gateway, its sign-in link, a browser."""
