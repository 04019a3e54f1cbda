"""Autobahn's WebSocket test suite against uvicorn, with a protocol class and applications that echo."""
