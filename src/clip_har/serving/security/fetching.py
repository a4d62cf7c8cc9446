"""Pictures by URL, without becoming anybody's way into the network behind the service.

A host must be on the list; every address that it resolves to must be a public one; the connection is made to the address that
was checked, not to the name (a second look-up might say something else), while TLS still verifies the name. Redirects go
through all of it again. Nothing is decompressed, no proxy is used, and size and time are bounded in all.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from clip_har.errors import ConfigError
from clip_har.serving.config import SecurityConfig
from clip_har.serving.errors import Unprocessable
from clip_har.serving.security.addresses import may_fetch_from, parsed

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]  # host, port → addresses
PORTS = {"http": 80, "https": 443}
_REDIRECTS = {301, 302, 303, 307, 308}
_PRINTABLE = re.compile(r"[!-~]{1,2048}")
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?)*")
_CHUNK = 65_536
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """A URL that is on the list, in the parts that a request is made of."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if PORTS[self.scheme] == self.port else f"{host}:{self.port}"


class _Refused(Exception):
    """Why a URL is not fetched, in words for the caller: nothing of the network behind the service is in them."""


class Fetcher:
    """Fetches from hosts on a list.

    Args:
        hosts: names, or names with a port; without one only 80 (http) and 443 (https) are asked.
        seconds: for everything: look-up, connection, redirects, content.
        private: whether the hosts may resolve to loopback and private addresses.
        resolver: looks addresses up; the system's if None.
        authorities: PEM file of certificate authorities for https; the system's if None (OpenSSL's `SSL_CERT_FILE` works).
        max_redirects: how many are followed.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        seconds: float,
        *,
        private: bool = False,
        resolver: Resolver | None = None,
        authorities: str | None = None,
        max_redirects: int = 3,
    ) -> None:
        self._allowed = {_allowed(host) for host in hosts}
        self._seconds, self._private, self._redirects = seconds, private, max_redirects
        self._resolve = resolver or _SystemResolver()
        self._authorities, self._context = authorities, None  # the context is made when it is needed: it reads files

    @classmethod
    def from_config(cls, config: SecurityConfig) -> Fetcher | None:
        """What the config allows; None if that is nothing.

        Raises:
            ConfigError: for a host that is not written as `name` or `name:port`.
        """
        if not config.url_hosts:
            return None
        return cls(config.url_hosts, config.url_seconds, private=config.url_private_addresses)

    async def fetch(self, url: str, max_bytes: int, field: str = "url") -> bytes:
        """The content at a URL, as it was sent.

        Raises:
            Unprocessable: if the URL is not allowed, does not answer in time, with 200, or with at most `max_bytes`.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await self._follow(url, max_bytes)
        except _Refused as refusal:
            raise Unprocessable(f"The URL cannot be used: {refusal}", field=field) from None
        except TimeoutError:
            raise Unprocessable(
                f"The URL cannot be used: it took more than {self._seconds:g} s.", field=field
            ) from None

    async def _follow(self, url: str, max_bytes: int) -> bytes:
        place = self._place(url)
        for _ in range(self._redirects + 1):
            found = await self._get(place, max_bytes)
            if isinstance(found, bytes):
                return found
            if not _PRINTABLE.fullmatch(found):
                raise _Refused("it redirects to what is not a URL.")
            following = self._place(urljoin(f"{place.scheme}://{place.authority}{place.target}", found))
            if place.scheme == "https" and following.scheme == "http":
                raise _Refused("it redirects from https to http.")
            place = following
        raise _Refused(f"it redirects more than {self._redirects} times.")

    def _place(self, url: str) -> Place:
        """The parts of a URL that is allowed; everything that two parsers might read differently is refused."""
        if not _PRINTABLE.fullmatch(url) or "\\" in url:
            raise _Refused("up to 2,048 printable ASCII characters are wanted, others percent-encoded.")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise _Refused("it is not a valid URL.") from None
        if parts.scheme not in PORTS:
            raise _Refused("http or https is wanted.")
        if "@" in parts.netloc:
            raise _Refused("a user name in it is not taken.")
        usual = PORTS[parts.scheme]
        port = usual if port is None else port
        if (host, port) not in self._allowed and not (port == usual and (host, None) in self._allowed):
            raise _Refused("its host is not one that pictures are fetched from here.")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Place(parts.scheme, host, port, target)

    async def _addresses(self, place: Place) -> list[str]:
        """Where to connect to; all of them are allowed."""
        literal = parsed(place.host)
        try:
            found = [str(literal)] if literal else list(await self._resolve(place.host, place.port))
        except (OSError, UnicodeError) as error:
            raise self._failed("its host is not known.", place, error) from None
        if not found:
            raise self._failed("its host is not known.", place)
        for address in found:  # one that is not allowed is enough: no answer of that resolver can be trusted
            if not may_fetch_from(address, self._private):
                raise self._failed("its host is at an address that is not fetched from.", place, address)
        return [str(parsed(address)) for address in found]

    async def _get(self, place: Place, max_bytes: int) -> bytes | str:
        """The content, or where it is said to be instead."""
        from clip_har.serving.security.exchange import Exchange, ExchangeError

        reader, writer = await self._connect(place)
        try:
            exchange = Exchange(reader, writer, max_bytes)
            status, headers = await exchange.ask(place.authority, place.target)
            if status in _REDIRECTS:
                return headers.get("location", "")
            if status != 200:
                raise _Refused(f"it answers {status}.")
            return await exchange.content(headers)
        except ExchangeError as error:
            raise self._failed(str(error), place) from None
        except OSError as error:
            raise self._failed("the connection broke.", place, error) from None
        finally:
            writer.transport.abort()

    async def _connect(self, place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to an address that was checked; TLS is for the name."""
        secure = {"ssl": self._tls(), "server_hostname": place.host} if place.scheme == "https" else {}
        failure: Exception | None = None
        for address in (await self._addresses(place))[:3]:
            try:
                return await asyncio.open_connection(address, place.port, limit=_CHUNK, **secure)
            except OSError as error:  # ssl.SSLError is one
                failure = error
        raise self._failed("no connection could be made.", place, failure)

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context(cafile=self._authorities)
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context

    def _failed(self, reason: str, place: Place, detail: object = None) -> _Refused:
        """What the caller is told; what else is known goes to the log only."""
        _log.warning("a URL was not fetched", extra={"host": place.host, "reason": reason, "detail": str(detail or "")})
        return _Refused(reason)


def _allowed(host: str) -> tuple[str, int | None]:
    """`name` or `name:port` → its parts."""
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname or "", parts.port
    except ValueError:
        name, port = "", None
    plain = parts.netloc == host if name else False
    written = {name, f"{name}:{port}", f"[{name}]", f"[{name}]:{port}"}
    if not plain or host not in written or not (_NAME.fullmatch(name) or parsed(name)):
        raise ConfigError(
            f"security.url_hosts: {host!r} is no host; wanted in lower case: images.example.com, or images.example.com:8443."
        )
    return name, port


class _SystemResolver:
    """The system's look-up, in a few threads of its own: a slow one must not hold up anything else."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    async def __call__(self, host: str, port: int) -> list[str]:
        self._threads = self._threads or ThreadPoolExecutor(4, thread_name_prefix="look-up")
        look = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port)
        return await look


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(address[0] for *_, address in found))
