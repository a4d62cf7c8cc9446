"""Where the service may be reached without keys, and which pages may call it."""

from __future__ import annotations

from pathlib import Path

import pytest

from clip_har.errors import ConfigError
from clip_har.serving.config import ServingConfig
from clip_har.serving.security import Security
from clip_har.serving.security.keys import add_key


def security(**settings: object) -> Security:
    return Security.from_config(ServingConfig(security=settings))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST", "::1", "[::1]", "::ffff:127.0.0.1"]
)
def test_loopback_needs_no_key(host: str) -> None:
    security().check_address(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "[::]", "", "192.168.1.5", "10.0.0.1", "fe80::1%eth0", "203.0.113.9", "example.com", "0"]
)
def test_a_public_address_needs_keys_or_the_switch(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="clip-har keys add"):
        security().check_address(host)
    security(public=True).check_address(host)
    add_key(tmp_path / "keys.json", "one")
    security(keys_file=str(tmp_path / "keys.json")).check_address(host)


def test_browsers_may_not_call_unless_an_origin_is_listed() -> None:
    assert security().cors() is None
    cors = security(cors_origins=["https://app.example.com"]).cors()
    assert cors is not None
    assert cors["allow_origins"] == ["https://app.example.com"]
    assert cors["allow_credentials"] is False


@pytest.mark.parametrize(
    "origin", ["app.example.com", "https://app.example.com/", "https://a.com/b", "null", "https://*", "HTTPS://A.com"]
)
def test_an_origin_is_written_as_browsers_send_it(origin: str) -> None:
    with pytest.raises(ConfigError, match="origin"):
        security(cors_origins=[origin])


def test_every_page_may_call_only_if_keys_are_wanted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="keys_file"):
        security(cors_origins=["*"])
    add_key(tmp_path / "keys.json", "one")
    assert security(cors_origins=["*"], keys_file=str(tmp_path / "keys.json")).cors()


def test_cors_works_in_the_middleware_that_it_is_for() -> None:
    from starlette.middleware.cors import CORSMiddleware

    CORSMiddleware(lambda *_: None, **security(cors_origins=["https://app.example.com"]).cors())
