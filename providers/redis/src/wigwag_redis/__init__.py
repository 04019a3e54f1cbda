"""Redis (and Valkey) pub/sub for wigwag."""

from wigwag_redis.broker import RedisBroker
from wigwag_redis.cluster import RedisClusterBroker
from wigwag_redis.settings import RedisSettings
from wigwag_redis.url import RedisUrl

__all__ = ["RedisBroker", "RedisClusterBroker", "RedisSettings", "RedisUrl"]
