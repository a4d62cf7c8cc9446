"""How a browser and the app find each other: the ICE servers. None by default, so that nobody else is asked."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator, model_validator

from clip_har.component import ComponentConfig, validated
from clip_har.errors import ConfigError

VARIABLE = "CLIP_HAR_ICE_SERVERS"
_URL = re.compile(r"(stuns?|turns?):[^\s/?]+(\?transport=(udp|tcp))?")
_WANTED = (
    'addresses with commas between ("stun:stun.example.org:3478"), or a JSON list of {"urls", "username", "credential"}'
)


class IceServer(ComponentConfig):
    """A STUN or TURN server (RFC 8489, RFC 8656)."""

    urls: list[str] = Field(min_length=1, description="stun:, stuns:, turn: or turns:, host, and port if need be.")
    username: str | None = Field(None, description="For turn: and turns:.")
    credential: str | None = Field(None, description="For turn: and turns:. Whoever opens the page can read it.")

    @field_validator("urls", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _can_be_asked(self) -> IceServer:
        for url in self.urls:
            if not _URL.fullmatch(url):
                raise ValueError(f"{url!r} is no address of a STUN or TURN server, like stun:stun.example.org:3478")
            if url.startswith("turn") and (self.username is None or self.credential is None):
                raise ValueError(f"{url} wants a username and a credential")
        return self


class LiveSettings(ComponentConfig):
    """What the page Live was started with."""

    ice_servers: list[IceServer] = Field(
        [], description="None: browser and app meet on this machine or in its network."
    )

    @classmethod
    def of(cls, environment: Mapping[str, str] | None = None) -> LiveSettings:
        """From the environment's `CLIP_HAR_ICE_SERVERS`.

        Raises:
            ConfigError: if it cannot be used.
        """
        text = (os.environ if environment is None else environment).get(VARIABLE, "").strip()
        if not text:
            return cls()
        if not text.startswith("["):
            return validated(cls, {"ice_servers": [{"urls": url.strip()} for url in text.split(",")]}, VARIABLE)
        try:
            servers = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"{VARIABLE} is no JSON ({error}). Wanted: {_WANTED}.") from error
        return validated(cls, {"ice_servers": servers}, VARIABLE)

    def rtc_configuration(self) -> dict[str, Any]:
        """For both sides. The list is always there: without it, both would ask a server of Google's."""
        return {"iceServers": [server.model_dump(exclude_none=True) for server in self.ice_servers]}
