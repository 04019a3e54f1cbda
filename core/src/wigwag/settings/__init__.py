"""Settings: read from the environment once, at the edge, into frozen dataclasses.

A class of settings is a frozen dataclass. Each field is a variable: the class's prefix and the field's name in
upper case. A field's help, and the bounds of a number, stand with it, by :func:`setting`; the documentation and
``--help`` read them there.
"""

from wigwag.settings.fields import setting
from wigwag.settings.known import CoreSettings, ServiceSettings
from wigwag.settings.load import Variable, load_settings, names, variables
from wigwag.settings.unknown import OUR_PROVIDERS, check_unknown, is_service_link
from wigwag.settings.values import JwksUrl, Listen, Origin, Secret, SecretFile, Secrets

__all__ = [
    "OUR_PROVIDERS",
    "CoreSettings",
    "JwksUrl",
    "Listen",
    "Origin",
    "Secret",
    "SecretFile",
    "Secrets",
    "ServiceSettings",
    "Variable",
    "check_unknown",
    "is_service_link",
    "load_settings",
    "names",
    "setting",
    "variables",
]
