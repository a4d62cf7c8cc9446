"""The gate before the service: keys and their rates, the address that it is served on, CORS, and fetching."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clip_har.errors import ConfigError
from clip_har.serving.config import SecurityConfig, ServingConfig
from clip_har.serving.errors import TooManyRequests, Unauthorized, Unprocessable
from clip_har.serving.security.addresses import is_loopback
from clip_har.serving.security.fetching import Fetcher
from clip_har.serving.security.keys import WatchedKeys
from clip_har.serving.security.rates import TokenBucket

_LONGEST_KEY = 256
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        name: of the API key; None where no key is wanted.
    """

    name: str | None = None


_ANYONE = Caller()


class Security:
    """What stands between a request and the engine; one for all surfaces of a process.

    Args:
        config: of the service's `security`.
        keys: those that are valid; no key is wanted if None.
        workers: processes that share the traffic: each lets its part of a key's rate through.
        fetcher: what fetches pictures by URL; none are taken if None.
    """

    def __init__(
        self,
        config: SecurityConfig,
        keys: WatchedKeys | None = None,
        *,
        workers: int = 1,
        fetcher: Fetcher | None = None,
    ) -> None:
        self.config, self._keys, self._workers, self._fetcher = config, keys, workers, fetcher
        self._buckets: dict[str, TokenBucket] = {}
        self._check_origins()

    @classmethod
    def from_config(cls, config: ServingConfig) -> Security:
        """The gate that a config describes.

        Raises:
            ConfigError: if the file of keys cannot be used, or hosts or origins are not written as wanted.
        """
        section = config.security
        keys = WatchedKeys(section.keys_file) if section.keys_file else None
        return cls(section, keys, workers=config.workers, fetcher=Fetcher.from_config(section))

    @property
    def wants_key(self) -> bool:
        """Whether requests need an API key."""
        return self._keys is not None

    @property
    def fetches(self) -> bool:
        """Whether pictures may be given by URL."""
        return self._fetcher is not None

    def check(self, headers: Mapping[str, str]) -> Caller:
        """Who asks, by the key in `x-api-key` or `authorization: Bearer …` (names of headers in lower case).

        Raises:
            Unauthorized: without a key that is known and has not expired.
            TooManyRequests: if the key has used up its rate.
        """
        if self._keys is None:
            return _ANYONE
        given = _key_in(headers)
        known = self._keys.find(given) if len(given) <= _LONGEST_KEY else None
        if known is None:
            raise Unauthorized("This API key is not known here, or has expired.")
        if known.rate is not None:
            rate, burst = known.rate / self._workers, (known.burst or known.rate) / self._workers
            bucket = self._buckets.get(known.name)
            if bucket is None or not bucket.like(rate, burst):
                bucket = self._buckets[known.name] = TokenBucket(rate, burst)
            wait = bucket.take()
            if wait > 0:
                raise TooManyRequests(f"The key {known.name} may ask {known.rate:g} times a second.", retry_after=wait)
        return Caller(known.name)

    def check_address(self, host: str) -> None:
        """Refuse to be reached from elsewhere without keys.

        Raises:
            ConfigError: if `host` is not loopback, there are no keys, and `security.public` is not set.
        """
        if self.wants_key or self.config.public or is_loopback(host):
            return
        raise ConfigError(
            f"host {host!r} can be reached from other machines, and no API key is wanted. Make one (`clip-har keys add NAME`) "
            "and set security.keys_file; or serve on 127.0.0.1; or set security.public to true if anyone may ask."
        )

    def cors(self) -> dict[str, Any] | None:
        """Arguments for Starlette's CORSMiddleware; None if no browser may call from another origin."""
        if not self.config.cors_origins:
            return None
        return {
            "allow_origins": list(self.config.cors_origins),
            "allow_methods": ["GET", "POST"],
            "allow_headers": ["authorization", "content-type", "traceparent", "x-api-key", "x-request-id"],
            "expose_headers": ["retry-after", "traceparent", "x-request-id"],
            "allow_credentials": False,  # keys travel in headers that the page sets itself
            "max_age": 600,
        }

    async def fetch(self, url: str, max_bytes: int, field: str = "url") -> bytes:
        """The picture at a URL.

        Raises:
            Unprocessable: if URLs are not taken, this one is not allowed, or it does not answer as it should.
        """
        if self._fetcher is None:
            raise Unprocessable("Pictures are not taken by URL here; send their bytes.", field=field)
        return await self._fetcher.fetch(url, max_bytes, field)

    def _check_origins(self) -> None:
        for origin in self.config.cors_origins:
            if origin == "*":
                if not self.wants_key:
                    raise ConfigError(
                        "security.cors_origins: '*' lets every web page ask; it is taken only with security.keys_file."
                    )
            elif not _ORIGIN.fullmatch(origin):
                raise ConfigError(
                    f"security.cors_origins: {origin!r} is no origin; wanted as browsers send it: https://app.example.com"
                )


def _key_in(headers: Mapping[str, str]) -> str:
    key = headers.get("x-api-key")
    if key:
        return key.strip()
    scheme, _, key = (headers.get("authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    raise Unauthorized("An API key is wanted: `authorization: Bearer KEY` or `x-api-key: KEY`.")
