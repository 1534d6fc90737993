"""`--set KEY=VALUE`, as every verb reads it."""

from collections.abc import Iterable

from slipway.errors import ConfigError


def pairs(items: Iterable[str] | None) -> dict[str, str]:
    """Values by key; of a key given twice the last counts. Raises: ConfigError: an item is no pair."""
    found = {}
    for item in items or ():
        key, sign, value = item.partition("=")
        if not sign or not key:
            raise ConfigError(f"--set {item}: must be KEY=VALUE, such as --set epochs=3")
        found[key.strip()] = value
    return found
