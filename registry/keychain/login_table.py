"""Credentials in the snapshotter's own configuration: containerd's ``[registry.configs."HOST".auth]``. Without I/O."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from registry.keychain.docker_config import Login

_KEYS: Final = frozenset({"username", "password", "auth", "identitytoken"})


def parse_logins(
    table: Mapping[str, Any], error: Callable[[str, str], Exception]
) -> dict[str, Login]:
    """Reads the table ``registry.configs``.

    Args:
        table: what a TOML parser found.
        error: makes the error to raise, of a key (with dots between tables) and a reason; values are never told.

    Returns:
        For each host, or host with a path, its login.
    """
    return {host: _parse_login(host, entry, error) for host, entry in table.items()}


def _parse_login(host: str, entry: Any, error: Callable[[str, str], Exception]) -> Login:
    name = f'registry.configs."{host}"'
    if not isinstance(entry, dict) or not isinstance(entry.get("auth"), dict):
        raise error(f"{name}.auth", "must be a table")
    if others := entry.keys() - {"auth"}:
        reason = "has no effect here: certificates and mirrors are found by registry.config_path"
        raise error(f"{name}.{min(others)}", reason)
    auth = entry["auth"]
    if unknown := auth.keys() - _KEYS:
        known = ", ".join(sorted(_KEYS))
        raise error(f"{name}.auth.{min(unknown)}", f"is not known; known are {known}")
    for key, value in auth.items():
        if not isinstance(value, str):
            raise error(f"{name}.auth.{key}", "must be a string")
    login = Login(**auth)
    try:
        if login.credentials("") is not None:
            return login
    except ValueError as invalid:
        raise error(f"{name}.auth.auth", str(invalid)) from None
    raise error(f"{name}.auth", "must have username and password, or auth, or identitytoken")
