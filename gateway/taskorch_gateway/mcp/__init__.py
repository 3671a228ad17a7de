"""MCP over HTTP: the tools of both roles."""
