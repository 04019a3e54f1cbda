"""wigwag's WebSockets beside other servers': CPU time, latency, memory. See bench/README.md."""
