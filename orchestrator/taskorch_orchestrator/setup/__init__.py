"""`orchestrate setup`: hooks, MCP servers and instructions for agent programs."""
