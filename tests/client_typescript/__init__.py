"""The TypeScript client as its users have it, against a real server."""
