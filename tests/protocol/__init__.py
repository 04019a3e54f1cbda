"""The WebSocket protocol class under uvicorn, as clients meet it, on both event loops."""
