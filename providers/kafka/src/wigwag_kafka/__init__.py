"""Kafka for wigwag: nothing is lost within retention."""
