"""`clip-har keys`: add, list, remove."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from clip_har.commands import Command, run_command
from clip_har.errors import ConfigError

_HERE = "clip_har.serving.security.command"
_SETTING = "CLIP_HAR_SERVING__SECURITY__KEYS_FILE"
_FILE = "workspace/api-keys.json"
COMMANDS = {
    "add": Command("make a key and print it: it is shown this once", f"{_HERE}:add"),
    "list": Command("whose keys there are, with their rates and when they expire", f"{_HERE}:list_keys"),
    "remove": Command("refuse a key from now on", f"{_HERE}:remove"),
}


def main(arguments: Sequence[str]) -> int:
    """Call one of `COMMANDS`."""
    about = "API keys of the service. A running service follows the file; it is told of it by security.keys_file."
    return run_command("clip-har keys", about, COMMANDS, arguments)


def add(arguments: Sequence[str]) -> int:
    """`add`."""
    from clip_har.serving.security.keys import add_key

    parser = _parser("add")
    parser.add_argument("name", metavar="NAME", help="whose key it is: shown in logs")
    parser.add_argument("--rate", type=float, metavar="R", help="requests per second (default: no limit)")
    parser.add_argument(
        "--burst", type=float, metavar="B", help="requests at once after a pause (default: as many as R)"
    )
    parser.add_argument("--days", type=float, metavar="D", help="days after which it expires (default: never)")
    options = parser.parse_args(arguments)
    if options.burst is not None and options.rate is None:
        raise ConfigError("--burst: it needs --rate.")
    key = add_key(options.file, options.name, rate=options.rate, burst=options.burst, expires=_in_days(options.days))
    print(key)
    place = Path(options.file).absolute()
    print(
        f"This is the only time that the key is shown. Its hash is in {place}; the service reads it by\n"
        f"  --set serving.security.keys_file={place}   or   {_SETTING}={place}",
        file=sys.stderr,
    )
    return 0


def list_keys(arguments: Sequence[str]) -> int:
    """`list`."""
    from clip_har.serving.security.keys import KeyFile

    options = _parser("list").parse_args(arguments)
    keys = KeyFile.read(options.file).keys
    width = max((len(key.name) for key in keys), default=0)
    for key in keys:
        rate = "no limit" if key.rate is None else f"{key.rate:g}/s, burst {key.burst or max(key.rate, 1.0):g}"
        until = f"expires {key.expires[:16]}" if key.expires else "never expires"
        gone = "  EXPIRED" if key.expires_at <= datetime.now().timestamp() else ""
        print(f"{key.name:{width}}  since {key.created[:16]}  {rate:20}  {until}{gone}")
    if not keys:
        print(f"There is no key in {options.file}.", file=sys.stderr)
    return 0


def remove(arguments: Sequence[str]) -> int:
    """`remove`."""
    from clip_har.serving.security.keys import remove_key

    parser = _parser("remove")
    parser.add_argument("name", metavar="NAME", help="as `list` shows it")
    options = parser.parse_args(arguments)
    remove_key(options.file, options.name)
    print(f"The key {options.name} is removed. Running services refuse it within two seconds.")
    return 0


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"clip-har keys {name}", description=COMMANDS[name].purpose)
    parser.add_argument(
        "--file", default=os.environ.get(_SETTING, _FILE), metavar="F", help="file of keys (default: %(default)s)"
    )
    return parser


def _in_days(days: float | None) -> datetime | None:
    if days is None:
        return None
    if not 0 < days < 36_525:
        raise ConfigError("--days: a number above 0 and below 36525 (a century) is wanted.")
    return datetime.now().astimezone() + timedelta(days=days)
