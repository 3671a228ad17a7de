"""The settings of one command, and the files and folders that they come from."""
