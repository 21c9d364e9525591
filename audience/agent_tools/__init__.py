"""Tools with which agents ask indexes, over the Model Context Protocol. Needs the extra `mcp`."""
