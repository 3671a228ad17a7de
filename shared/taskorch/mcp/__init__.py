"""The MCP server that both roles share."""
