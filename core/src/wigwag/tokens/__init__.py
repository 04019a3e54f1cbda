"""Tokens of clients (RFC 7519): who somebody is, and which topics they may join and publish to."""
