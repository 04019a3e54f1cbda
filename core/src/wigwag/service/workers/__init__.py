"""``wigwag serve --workers``: several processes on one port, and one that looks after them.

The **supervisor** listens, hands each connection to the worker that has the fewest, runs the hub through which the
workers hear each other, starts a worker anew when one ends, and answers on the internal port for all of them.  It runs
no code of the application.  A **worker** serves what it is handed; it ends when the supervisor does.
"""
