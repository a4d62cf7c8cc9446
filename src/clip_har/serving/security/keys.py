"""API keys: a file with their names and hashes, and the keys in use, which follow that file.

A key is 256 random bits, so that no hash needs to be slow: nobody tries 2²⁵⁶ keys, however fast SHA-256 is. The salt is the
file's own: the same key has another hash in every file, and one HMAC is enough to compare with all keys of a file. A pepper
kept outside the file would guard against guessing, and there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from clip_har.errors import ConfigError, did_you_mean
from clip_har.storage import exclusive, write_atomic

PREFIX = "chk_"  # so that scanners for secrets, and our own logs, know a key when they see one
PATTERN = re.compile(r"chk_[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_FORMAT = 1
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key.

    Attributes:
        name: whose it is; in logs and captures.
        hash: HMAC-SHA-256 of the key under the file's salt, in hex.
        created, expires: ISO 8601 with zone; never if `expires` is None.
        rate: requests per second, all surfaces together; unlimited if None.
        burst: requests at once after a pause.
    """

    name: str
    hash: str
    created: str
    rate: float | None = None
    burst: float | None = None
    expires: str | None = None

    @property
    def expires_at(self) -> float:
        """Seconds since 1970; infinity if it never does."""
        return datetime.fromisoformat(self.expires).timestamp() if self.expires else float("inf")


@dataclass(frozen=True)
class KeyFile:
    """The content of a file of keys.

    Attributes:
        salt: 32 random bytes in hex.
        keys: in the order in which they were added.
    """

    salt: str
    keys: tuple[ApiKey, ...] = ()

    def digest(self, key: str) -> str:
        """The hash that `key` has in this file."""
        return hmac.new(bytes.fromhex(self.salt), key.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def find(self, key: str) -> ApiKey | None:
        """Whose key this is; takes as long for any key that is wrong."""
        given, found = self.digest(key), None
        for known in self.keys:
            if hmac.compare_digest(known.hash, given):
                found = known
        return found

    @classmethod
    def read(cls, path: str | Path) -> KeyFile:
        """The file's content.

        Raises:
            ConfigError: if it is not there or is no file of keys.
        """
        try:
            return cls._parsed(json.loads(Path(path).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ConfigError(
                f"There is no file of API keys {path}. `clip-har keys add NAME --file {path}` makes it."
            ) from None
        except OSError as error:
            raise ConfigError(f"The API keys in {path} cannot be read: {error.strerror}.") from None
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"{path} is not a file of API keys that `clip-har keys` wrote: {error}.") from None

    @classmethod
    def _parsed(cls, raw: Any) -> KeyFile:
        if not isinstance(raw, dict) or raw.get("format") != _FORMAT:
            raise ValueError(f"format {_FORMAT} is wanted")
        keys = tuple(ApiKey(**entry) for entry in raw["keys"])
        for key in keys:
            _check_entry(key)
        if len({key.name for key in keys}) != len(keys):
            raise ValueError("a name is there twice")
        if len(bytes.fromhex(raw["salt"])) < 16:
            raise ValueError("the salt is too short")
        return cls(raw["salt"], keys)

    def write(self, path: str | Path) -> None:
        """Write it whole or not at all, readable by its owner only."""
        content = {"format": _FORMAT, "salt": self.salt, "keys": [asdict(key) for key in self.keys]}
        write_atomic(path, json.dumps(content, indent=2) + "\n", mode=0o600)


def _check_entry(key: ApiKey) -> None:
    if not (isinstance(key.name, str) and _NAME.fullmatch(key.name)):
        raise ValueError(f"{key.name!r} is no name of a key")
    if not (isinstance(key.hash, str) and re.fullmatch(r"[0-9a-f]{64}", key.hash)):
        raise ValueError(f"the hash of {key.name} is no SHA-256")
    for number in (key.rate, key.burst):
        if number is not None and not (type(number) in (int, float) and 0 < number < float("inf")):
            raise ValueError(f"rate and burst of {key.name} are to be above 0")
    if key.expires is not None and datetime.fromisoformat(key.expires).tzinfo is None:
        raise ValueError(f"the expiry of {key.name} has no time zone")


def add_key(
    path: str | Path,
    name: str,
    *,
    rate: float | None = None,
    burst: float | None = None,
    expires: datetime | None = None,
) -> str:
    """Make a key and note its hash in the file, which is made if it is not there.

    Returns:
        The key: it is known to nobody else from here on.

    Raises:
        ConfigError: if the name is taken or none, or a number is not above 0.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name for a key: up to 63 letters, digits, `.`, `_` and `-` are wanted.")
    key = PREFIX + secrets.token_urlsafe(32)
    created = datetime.now().astimezone().isoformat(timespec="seconds")
    made = ApiKey(
        name, "", created, rate, burst, expires.astimezone().isoformat(timespec="seconds") if expires else None
    )
    with exclusive(_lock(path), wait=10.0):
        file = KeyFile.read(path) if Path(path).exists() else KeyFile(secrets.token_hex(32))
        if any(known.name == name for known in file.keys):
            raise ConfigError(f"There is a key {name!r} in {path} already. Remove it first, or choose another name.")
        made = replace(made, hash=file.digest(key))
        try:
            _check_entry(made)
        except ValueError as error:
            raise ConfigError(f"{error}.") from None
        replace(file, keys=(*file.keys, made)).write(path)
    return key


def remove_key(path: str | Path, name: str) -> None:
    """Take a key out of the file; a running service refuses it from its next look at the file on.

    Raises:
        ConfigError: if there is no such key.
    """
    with exclusive(_lock(path), wait=10.0):
        file = KeyFile.read(path)
        left = tuple(key for key in file.keys if key.name != name)
        if len(left) == len(file.keys):
            raise ConfigError(f"There is no key {name!r} in {path}. {did_you_mean(name, [k.name for k in left])}")
        replace(file, keys=left).write(path)


def _lock(path: str | Path) -> Path:
    return Path(path).with_name(f".{Path(path).name}.lock")


class WatchedKeys:
    """The keys in a file, read again when it changes.

    A file that is gone means that no key is valid. One that cannot be read leaves the keys as they were, and is logged.

    Args:
        path: file of keys; it must be there and readable at first.
        look_every: seconds between two looks at the file.

    Raises:
        ConfigError: as `KeyFile.read` does.
    """

    def __init__(self, path: str | Path, look_every: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self._every, self._clock = Path(path), look_every, clock
        self._state = self._stat()
        self._file = KeyFile.read(path)
        self._looked = clock()
        if not self._file.keys:
            _log.warning("no key in %s: every request is refused until `clip-har keys add` has made one", path)

    def find(self, key: str) -> ApiKey | None:
        """Whose key this is; None if it is unknown or has expired."""
        self._look()
        found = self._file.find(key)
        return found if found is not None and found.expires_at > time.time() else None

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked < self._every:
            return
        self._looked = now
        state = self._stat()
        if state == self._state:
            return
        self._state = state
        if state is None:
            self._file = replace(self._file, keys=())
            _log.error("the file of API keys %s is gone: every request is refused", self.path)
            return
        try:
            self._file = KeyFile.read(self.path)
            _log.info("API keys read again", extra={"keys": len(self._file.keys)})
        except ConfigError as error:
            _log.error("API keys stay as they were: %s", error)

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return None
        except OSError:
            return (0, 0, 0)
        return found.st_mtime_ns, found.st_ino, found.st_size
