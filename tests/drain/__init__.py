"""How a service ends, and how it shares out its sockets anew: with real processes, and thousands of clients."""
