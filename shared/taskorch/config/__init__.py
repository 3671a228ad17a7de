"""Settings of a command, and the files and folders behind them."""
