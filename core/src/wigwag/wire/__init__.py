"""What crosses the wire, on the client's side and on the broker's.  Sans-I/O."""
