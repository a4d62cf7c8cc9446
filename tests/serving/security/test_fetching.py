"""Pictures by URL: what is fetched, and every way around the list of hosts that is known, refused."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clip_har.errors import ConfigError
from clip_har.serving.config import ServingConfig
from clip_har.serving.errors import Unprocessable
from clip_har.serving.security import Security
from clip_har.serving.security.addresses import may_fetch_from
from clip_har.serving.security.fetching import Fetcher
from tests.serving.security.web_server import moved, ok, web_server

PICTURE = b"\xff\xd8picture"


class Resolver:
    """Names → addresses, the next ones at every look-up."""

    def __init__(self, **names: Sequence[Sequence[str]]) -> None:
        self.names, self.asked = {name.replace("_", "."): list(turns) for name, turns in names.items()}, []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        turns = self.names.get(host)
        if turns is None:
            raise socket.gaierror(-2, "Name or service not known")
        return turns.pop(0) if len(turns) > 1 else turns[0]


def refusal(fetcher: Fetcher, url: str, max_bytes: int = 1000) -> str:
    """Why a URL is refused."""
    with pytest.raises(Unprocessable) as refused:
        asyncio.run(fetcher.fetch(url, max_bytes, "images[0].url"))
    assert refused.value.field == "images[0].url"
    return str(refused.value)


def test_urls_are_off_by_default() -> None:
    security = Security.from_config(ServingConfig())
    assert not security.fetches
    with pytest.raises(Unprocessable, match="not taken by URL"):
        asyncio.run(security.fetch("http://127.0.0.1/a.jpg", 1000))


def test_a_picture_of_a_listed_host_is_fetched() -> None:
    async def case() -> None:
        async with web_server(a=ok(PICTURE)) as server:
            hosts = [f"127.0.0.1:{server.port}"]
            config = ServingConfig(security={"url_hosts": hosts, "url_private_addresses": True})
            assert await Security.from_config(config).fetch(f"http://127.0.0.1:{server.port}/a?b=c#d", 9) == PICTURE

    async def scripted() -> None:
        async with web_server(**{"a?b=c": ok(PICTURE)}) as server:
            fetcher = Fetcher(
                [f"pictures.test:{server.port}"], 5, private=True, resolver=Resolver(pictures_test=[["127.0.0.1"]])
            )
            assert await fetcher.fetch(f"http://PICTURES.test:{server.port}/a?b=c#d", 9) == PICTURE
            request = server.requests[0]
            assert request.startswith("GET /a?b=c HTTP/1.1\r\n")
            assert f"Host: pictures.test:{server.port}\r\n" in request
            assert "Accept-Encoding: identity\r\n" in request

    asyncio.run(scripted())
    with pytest.raises(Unprocessable, match="answers 404"):
        asyncio.run(case())


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.test/a",
        "http://2130706433/a",
        "http://0x7f000001/a",
        "http://0177.0.0.1/a",
        "http://127.1/a",
        "http://127.0.0.1/a",
        "http://[::1]/a",
        "http://[::ffff:127.0.0.1]/a",
        "http://[fe80::1%25eth0]/a",
        "http://[v1.x]/a",
        "http://169.254.169.254/latest/meta-data/",
        "http://good.test./a",
        "http://good.test.evil.test/a",
        "http://evil.test#good.test/a",
        "http://evil.test?good.test/a",
        "http://good.test@evil.test/a",
        "http://user:word@good.test/a",
        "http://@good.test/a",
        "http://good.test:22/a",
        "http://good.test:0/a",
        "http://good.test:99999/a",
        "http://good.test:8o/a",
        "http://good.test%2eevil.test/a",
        "http://good.test%00.evil.test/a",
        "http://good.test\\@evil.test/a",
        "http:\\\\good.test/a",
        "http://good.test/a b",
        "http://good.test/a\r\nHost: evil.test",
        "http://good.test\t/a",
        " http://good.test/a",
        "http://go\N{SOFT HYPHEN}od.test/a",
        "http://ｇood.test/a",
        "http://good。test/a",
        "http:///a",
        "http:good.test/a",
        "//good.test/a",
        "good.test/a",
        "",
        "ftp://good.test/a",
        "file:///etc/passwd",
        "gopher://good.test/a",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "http://good.test/" + "a" * 3000,
    ],
)
def test_a_url_that_is_not_on_the_list_is_refused_before_anything_is_asked(url: str) -> None:
    resolver = Resolver(good_test=[["203.0.113.7"]])
    said = refusal(Fetcher(["good.test"], 5, resolver=resolver), url)
    assert said.startswith("The URL cannot be used")
    assert resolver.asked == []


REFUSED = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
    "not an address",
    "",
]


@pytest.mark.parametrize("address", REFUSED)
def test_no_address_behind_the_service_is_connected_to(address: str) -> None:
    assert not may_fetch_from(address)
    fetcher = Fetcher(["good.test"], 5, resolver=Resolver(good_test=[["93.184.216.34", address]]))
    assert "not fetched from" in refusal(fetcher, "http://good.test/a")


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "172.32.0.1", "2606:4700::1", "::ffff:8.8.8.8"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert may_fetch_from(address)


def test_metadata_services_stay_out_of_reach_in_closed_networks_too() -> None:
    for address in (
        "169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "::ffff:169.254.169.254",
        "0.0.0.0",
        "::",
    ):
        assert not may_fetch_from(address, private=True)
    for address in ("127.0.0.1", "10.1.2.3", "fd12::1", "::1", "::ffff:10.0.0.1", "8.8.8.8"):
        assert may_fetch_from(address, private=True)


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the name is looked up once, and the name itself is never handed to the system to connect to."""
    connected: list[str] = []

    async def connect(host: str, port: int, **more: object) -> None:
        connected.append(host)
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio, "open_connection", connect)
    resolver = Resolver(good_test=[["93.184.216.34"], ["127.0.0.1"]])
    fetcher = Fetcher(["good.test"], 5, resolver=resolver)
    assert "no connection" in refusal(fetcher, "http://good.test/a")
    assert connected == ["93.184.216.34"]
    assert resolver.asked == ["good.test"]
    assert "not fetched from" in refusal(fetcher, "http://good.test/a")  # looked up anew, checked anew
    assert connected == ["93.184.216.34"]


def run(
    answers: dict,
    url: str = "/a",
    *,
    max_bytes: int = 1000,
    seconds: float = 5.0,
    hosts: Sequence[str] = (),
    **names: Sequence,
) -> bytes:
    """Fetch `url` of a server that answers so; `{port}` in answers and URLs is its port."""

    async def case() -> bytes:
        async with web_server() as server:
            server.answers = {
                f"/{name}": answer.replace(b"{port}", str(server.port).encode())
                if isinstance(answer, bytes)
                else answer
                for name, answer in answers.items()
            }
            resolver = Resolver(good_test=[["127.0.0.1"]], **names)
            allowed = [f"good.test:{server.port}", *(host.format(port=server.port) for host in hosts)]
            fetcher = Fetcher(allowed, seconds, private=True, resolver=resolver)
            try:
                return await fetcher.fetch(f"http://good.test:{server.port}{url}", max_bytes)
            finally:
                async with asyncio.timeout(2):  # nothing is left open
                    while server.open:
                        await asyncio.sleep(0.005)

    return asyncio.run(case())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_within_the_list_are_followed(status: int) -> None:
    assert run({"a": moved("/b", status), "b": moved("http://good.test:{port}/c"), "c": ok(PICTURE)}) == PICTURE


@pytest.mark.parametrize(
    "location",
    [
        "http://evil.test/a",
        "http://127.0.0.1:{port}/b",
        "//127.0.0.1:{port}/b",
        "http://[::1]:{port}/b",
        "http://169.254.169.254/latest/",
        "http://good.test:{port}@evil.test/b",
        "file:///etc/passwd",
        "gopher://good.test:{port}/b",
        "http://good.test:1/b",
        "/b c",
        "\\\\evil.test/b",
    ],
)
def test_a_redirect_elsewhere_is_refused(location: str) -> None:
    with pytest.raises(Unprocessable, match="cannot be used"):
        run({"a": moved(location), "b": ok(b"secret")})


def test_a_redirect_to_a_listed_name_at_a_wrong_address_is_refused() -> None:
    with pytest.raises(Unprocessable, match="not fetched from"):
        run({"a": moved("http://other.test:{port}/b")}, hosts=["other.test:{port}"], other_test=[["169.254.169.254"]])


def test_redirects_in_a_circle_end() -> None:
    with pytest.raises(Unprocessable, match="more than 3 times"):
        run({"a": moved("/a")})
    with pytest.raises(Unprocessable, match="not a URL"):
        run({"a": b"HTTP/1.1 302 Moved\r\nContent-Length: 0\r\n\r\n"})


def chunked(*chunks: bytes) -> bytes:
    parts = b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"


def test_content_in_chunks_or_up_to_the_end_is_read() -> None:
    assert run({"a": chunked(b"ab", b"cd")}) == b"abcd"
    assert run({"a": b"HTTP/1.0 200 OK\r\n\r\nabcd"}) == b"abcd"
    assert run({"a": b"HTTP/1.1 100 Continue\r\n\r\n" + ok(b"abcd")}) == b"abcd"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ok(b"x" * 1001), "larger than 1,000"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nab", "larger than 1,000"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nab", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000, "larger than 1,000"),
        (chunked(*[b"x" * 100] * 11), "larger than 1,000"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort", "ends early"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "ends early"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nabc", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 400_000 + b"\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + ok(b"ab"), "not HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not valid HTTP"),
        (b"", "not valid HTTP, or ends early"),
        (b"HTTP/1.1 204 No\r\n\r\n", "answers 204"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "answers 304"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", "answers 500"),
        (ok(gzip.compress(b"\0" * 100_000), "Content-Encoding: gzip"), "compressed"),
        (ok(b"ab", "Content-Encoding: br"), "compressed"),
        (ok(b"ab", "Content-Encoding: identity", "Content-Encoding: deflate"), "compressed"),
    ],
)
def test_an_answer_that_is_too_large_or_none_is_refused(answer: bytes, reason: str) -> None:
    with pytest.raises(Unprocessable, match=reason):
        run({"a": answer})


def test_a_content_of_exactly_the_limit_is_taken() -> None:
    assert len(run({"a": ok(b"x" * 1000)})) == 1000


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def silence(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(1)


async def endless_redirects(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.15)
    writer.write(moved("/a"))


@pytest.mark.parametrize("answer", [drip, silence, endless_redirects])
def test_the_time_is_limited_in_all(answer: object) -> None:
    began = time.monotonic()
    with pytest.raises(Unprocessable, match=r"took more than 0\.3 s"):
        run({"a": answer}, seconds=0.3)
    assert time.monotonic() - began < 2


def test_a_slow_look_up_is_cut_off_too() -> None:
    async def slow(host: str, port: int) -> list[str]:
        await asyncio.sleep(3)
        return ["93.184.216.34"]

    assert "took more than" in refusal(Fetcher(["good.test"], 0.1, resolver=slow), "http://good.test/a")


def test_a_name_that_is_not_known_is_refused() -> None:
    assert "host is not known" in refusal(Fetcher(["good.test"], 5, resolver=Resolver()), "http://good.test/a")
    assert "host is not known" in refusal(
        Fetcher(["good.test"], 5, resolver=Resolver(good_test=[[]])), "http://good.test/a"
    )


def test_the_caller_learns_nothing_of_the_network(caplog: pytest.LogCaptureFixture) -> None:
    """Where a name leads, and why a connection failed, stand in the log only."""
    fetcher = Fetcher(["good.test"], 5, resolver=Resolver(good_test=[["10.1.2.3"]]))
    with caplog.at_level(logging.WARNING):
        assert "10.1.2.3" not in refusal(fetcher, "http://good.test/a")
    assert caplog.records[-1].detail == "10.1.2.3"


def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert run({"a": ok(PICTURE)}) == PICTURE


@pytest.mark.parametrize(
    "host", ["*", "*.example.com", "http://a.com", "a.com/b", "A.com", "u@a.com", "a.com:", "a.com:x", "a b", "", "::1"]
)
def test_hosts_are_written_as_names(host: str) -> None:
    with pytest.raises(ConfigError, match="url_hosts"):
        Security.from_config(ServingConfig(security={"url_hosts": [host]}))


@pytest.mark.parametrize("host", ["a.com", "a-b.example.com:8443", "127.0.0.1:80", "[::1]:8080", "localhost"])
def test_hosts_that_are_taken(host: str) -> None:
    assert Security.from_config(ServingConfig(security={"url_hosts": [host]})).fetches


# --- TLS ---


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """An authority of our own, and a server's context with a certificate for good.test."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder, now = tmp_path_factory.mktemp("tls"), datetime.now(UTC)

    def certificate(
        name: str, of: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, authority: bool
    ) -> bytes:
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, of)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(by, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)

    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    (folder / "ca.pem").write_bytes(certificate("root.test", "root.test", root, root, True))
    private = leaf.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "leaf.pem").write_bytes(private + certificate("good.test", "root.test", leaf, root, False))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")
    return folder / "ca.pem", context


def test_tls_verifies_the_name_though_the_address_is_pinned(certificates: tuple[Path, ssl.SSLContext]) -> None:
    authority, context = certificates
    named: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: named.append(name)

    async def case(host: str, authorities: str | None) -> bytes:
        async with web_server(context, a=ok(PICTURE)) as server:
            resolver = Resolver(good_test=[["127.0.0.1"]], other_test=[["127.0.0.1"]])
            fetcher = Fetcher([f"{host}:{server.port}"], 5, private=True, resolver=resolver, authorities=authorities)
            return await fetcher.fetch(f"https://{host}:{server.port}/a", 1000)

    assert asyncio.run(case("good.test", str(authority))) == PICTURE
    assert named == ["good.test"]
    with pytest.raises(Unprocessable, match="no connection"):  # another name at the same address
        asyncio.run(case("other.test", str(authority)))
    with pytest.raises(Unprocessable, match="no connection"):  # an authority that is not known
        asyncio.run(case("good.test", None))


def test_a_redirect_from_https_to_http_is_refused(certificates: tuple[Path, ssl.SSLContext]) -> None:
    authority, context = certificates

    async def case() -> None:
        async with web_server(a=ok(PICTURE)) as plain, web_server(context) as server:
            server.answers["/a"] = moved(f"http://good.test:{plain.port}/a")
            hosts = [f"good.test:{server.port}", f"good.test:{plain.port}"]
            resolver = Resolver(good_test=[["127.0.0.1"]])
            fetcher = Fetcher(hosts, 5, private=True, resolver=resolver, authorities=str(authority))
            await fetcher.fetch(f"https://good.test:{server.port}/a", 1000)

    with pytest.raises(Unprocessable, match="from https to http"):
        asyncio.run(case())
