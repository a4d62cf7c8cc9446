"""A command made of sub-commands, each imported when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clip_har.errors import ClipHarError, did_you_mean


@dataclass(frozen=True)
class Command:
    """A sub-command.

    Attributes:
        purpose: what it does, for the list of commands.
        entry: "package.module:function"; called with the arguments that follow its name, it returns the exit code.
    """

    purpose: str
    entry: str


def run_command(
    program: str, description: str, commands: Mapping[str, Command], arguments: Sequence[str] | None = None
) -> int:
    """Call the sub-command that is named first.

    Args:
        program: the command up to here, for messages.
        arguments: those of the process if None.

    Returns:
        What the sub-command returned; 2 for a user's mistake, which is explained on standard error.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    width = max(map(len, commands))
    listed = "\n".join(f"  {name:{width}}  {command.purpose}" for name, command in commands.items())
    if arguments and arguments[0] in ("-h", "--help"):
        print(
            f"usage: {program} COMMAND …\n\n{description}\n\ncommands:\n{listed}\n\n{program} COMMAND --help says more."
        )
        return 0
    if not arguments:
        print(f"usage: {program} COMMAND …\n\ncommands:\n{listed}\n\nerror: a command is wanted.", file=sys.stderr)
        return 2
    name, *rest = arguments
    if name not in commands:
        print(f"error: {program} has no command {name!r}. {did_you_mean(name, commands)}", file=sys.stderr)
        return 2
    module, _, function = commands[name].entry.partition(":")
    try:
        code = getattr(importlib.import_module(module), function)(rest)
        sys.stdout.flush()  # here, where a reader who has gone can be noticed
        return code
    except ClipHarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `… | head`: nobody reads on, and the interpreter's own flush must not say so again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
