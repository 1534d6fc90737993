"""Keys: the names of things below a store's root, POSIX paths such as `models/cv-digits/4f0c…`."""

from dataclasses import dataclass

from slipway.errors import ConfigError
from slipway.store.files import is_scratch


@dataclass(frozen=True, slots=True)
class Entry:
    """What a store knows of one file."""

    bytes: int
    modified: float
    """When it was written, in seconds since 1970, by the store's clock."""


def checked(key: str) -> str:
    """The key without a closing slash.

    Raises: ConfigError: it is empty, absolute, climbs out of the store, or has a part reserved for unfinished artifacts.
    """
    parts = key.rstrip("/").split("/")
    for part in parts:
        if part in ("", ".", "..") or "\0" in part or is_scratch(part):
            raise ConfigError(f"store key '{key}': part '{part}' is not allowed; use a relative path such as models/cv-digits")
    return "/".join(parts)
