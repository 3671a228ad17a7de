"""The command line of both roles: arguments, output and errors."""
