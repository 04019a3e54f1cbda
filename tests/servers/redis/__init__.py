"""Redis: one server, three that Sentinel watches, or a cluster."""

from servers.redis.cluster import RedisCluster
from servers.redis.resp import RedisRefused
from servers.redis.sentinel import RedisSentinel
from servers.redis.server import RedisServer

__all__ = ["RedisCluster", "RedisRefused", "RedisSentinel", "RedisServer"]
