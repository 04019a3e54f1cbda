"""Real brokers for tests: each a process of its own, on a free port of 127.0.0.1, ended by its process id."""
