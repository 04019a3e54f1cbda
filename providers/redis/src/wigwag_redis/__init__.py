"""Redis (and Valkey) pub/sub for wigwag: Sentinel, Cluster, TLS and ACL included."""
