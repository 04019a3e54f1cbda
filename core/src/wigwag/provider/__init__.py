"""The provider over a broker: who wants what, the reconcile loop, supervision and fan-out."""

from wigwag.provider.provider import Provider
from wigwag.provider.settings import ProviderSettings

__all__ = ["Provider", "ProviderSettings"]
