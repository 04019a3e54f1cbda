"""NATS for wigwag."""
