#!/usr/bin/env python
"""Run a pipeline of clip-har. `python run.py --help` says how."""

import argparse
import shlex
import sys
from pathlib import Path

from pipelines import CONFIGS, MADE_FIRST, PIPELINES, RUN_AFTER

_PROJECT = Path(__file__).parent
DEFAULT_STACK = "local"
_EXIT_CODES = """exit codes:
  0          all went well
  2          a mistake in the command, the configuration or the data; nothing is half done
  3          of monitor: the decision is to train again (monitor.alert.exit_on), and no retraining has answered it
  130        stopped with Ctrl-C"""


def main(arguments: list[str] | None = None) -> int:
    """Parse, compose the config, call one pipeline; the exit code, as `--help` explains it."""
    options = _parse(arguments)
    try:
        return _run(options)
    except KeyboardInterrupt:
        print("Stopped. What was finished is kept; the same command goes on from there.", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    from clip_har.errors import ClipHarError, ConfigError, did_you_mean

    try:
        from clip_har.config import load_config

        if options.list_stacks:
            from stacks.listing import show_stacks

            config = load_config(options.config or _PROJECT / "configs" / "sample.yaml", options.set)
            show_stacks(config.workspace.path)
            return 0
        if options.pipeline not in PIPELINES:
            raise ConfigError(
                f"--pipeline: there is no pipeline {options.pipeline!r}. {did_you_mean(options.pipeline, PIPELINES)}"
            )
        file = options.config or _PROJECT / "configs" / CONFIGS[options.pipeline]
        config = load_config(file, options.set)
        if options.dry_run:
            return _show_plan(options.pipeline, config)
        from pipelines.launch import launch

        return launch(options.pipeline, config, options.stack, _settings(options), cache=not options.no_cache)
    except ClipHarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _settings(options: argparse.Namespace) -> str:
    """The options that the configuration comes from, and the stack, as they can be typed again."""
    named = ["--config", str(options.config)] if options.config else []
    stack = [] if options.stack == DEFAULT_STACK else ["--stack", options.stack]
    words = [*named, *stack, *(word for override in options.set for word in ("--set", override))]
    return f" {shlex.join(words)}" if words else ""


def _show_plan(pipeline: str, config) -> int:
    import importlib

    from pipelines.checks import check_sections

    check_sections(pipeline, config)
    print(config.to_yaml(), end="")
    first = ((MADE_FIRST.get(pipeline), ", first, if these data have no published version"), (pipeline, ""))
    after = ((name, ", afterwards, if it is to be trained again") for name in RUN_AFTER.get(pipeline, ()))
    for name, when in (*first, *after):
        if name is not None:
            print(f"# steps of {name}{when}: {', '.join(importlib.import_module(f'pipelines.{name}').plan(config))}")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    listed = "\n".join(f"  {name:10} {purpose}" for name, purpose in PIPELINES.items())
    parser = argparse.ArgumentParser(
        prog="run.py",
        description="Recognise human actions in images with CLIP: train, evaluate and serve.",
        epilog=f"pipelines:\n{listed}\n\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--pipeline", metavar="NAME", help="which pipeline to run (below)")
    wanted.add_argument(
        "--list-stacks", action="store_true", help="show the stacks, their components, and whether each is reachable"
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="default: configs/sample.yaml (for pretrain: configs/pretrain.yaml)",
    )
    parser.add_argument(
        "--stack",
        default=DEFAULT_STACK,
        metavar="NAME",
        help=f"which stack of stacks/ to run on (default: {DEFAULT_STACK})",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a value, like seed=1 or data.path=photos; repeatable",
    )
    parser.add_argument("--no-cache", action="store_true", help="run every step, whatever earlier runs left")
    parser.add_argument("--dry-run", action="store_true", help="print the composed config and the steps, and stop")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
