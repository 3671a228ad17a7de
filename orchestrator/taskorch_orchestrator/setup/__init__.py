"""`orchestrate setup`: hooks, an MCP server and instructions for agent programs."""
