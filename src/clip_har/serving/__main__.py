"""`python -m clip_har.serving`: serve the champion, the newest bundle if there is none, or a bundle that is named."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
from pathlib import Path

from clip_har.errors import BundleError, ClipHarError, ConfigError
from clip_har.serving.config import ServingConfig
from clip_har.serving.service_process import FAILURE
from clip_har.serving.settings import BUNDLE, FILE, OUTPUTS, WORKSPACE, find_source, load_settings, variable

_KEEP_ALIVE = 30  # seconds that a connection may be idle


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal ends it; the exit code: 0, or 2 for a user's mistake."""
    options = _parse(arguments)
    try:
        _settle_environment(options)
        config = load_settings()
        _check(config)
        port = _port("REST", config.host, config.port)
        if config.grpc.enabled:
            _port("gRPC", config.host, config.grpc.port)
    except ClipHarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with_runner = config.encoder == "runner" or (config.encoder == "auto" and _has_gpu(config.device))
    service = f"clip_har.serving.{'bento_runner' if with_runner else 'bento'}:ClipHarService"
    from _bentoml_impl.loader import load
    from _bentoml_impl.server import serve_http
    from bentoml._internal.log import configure_server_logging

    configure_server_logging()
    load(service, working_dir=os.getcwd()).inject_config()
    print(f"Serving on http://{config.host}:{port} (documentation: /docs)", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="clip-har-") as name:
        failure = Path(name) / "failure"
        os.environ[FAILURE] = str(failure)
        serve_http(
            service,
            working_dir=os.getcwd(),
            host=_address(config.host),
            port=port,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=int(config.queue.drain_seconds) + 1,
        )
        return 2 if failure.exists() else 0


def _settle_environment(options: argparse.Namespace) -> None:
    """What this command was told, as the processes that it starts find it."""
    named = {"CLIP_HAR_SERVING__HOST": options.host, "CLIP_HAR_SERVING__PORT": options.port}
    given = {name: str(value) for name, value in named.items() if value is not None}
    given |= dict(variable(assignment) for assignment in options.set)
    if options.config is not None:
        given[FILE] = str(options.config.absolute())
    if options.bundle is not None:
        given[BUNDLE] = str(options.bundle.absolute())
    workspace = options.workspace or Path(os.environ.get(WORKSPACE, "workspace"))
    given[WORKSPACE] = str(workspace.absolute())
    outputs = options.outputs or Path(os.environ.get(OUTPUTS, workspace.absolute().parent / "outputs"))
    given[OUTPUTS] = str(outputs.absolute())
    os.environ.update(given)
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    os.environ.setdefault("BENTOML_HOME", str(workspace.absolute() / "bentoml"))


def _check(config: ServingConfig) -> None:
    """Find out now what would only be said by a process that is started again and again."""
    from clip_har.serving.security import Security

    Security.from_config(config).check_address(config.host)
    if config.grpc.enabled and (config.grpc.tls_certificate or config.grpc.tls_key or config.grpc.tls_client_ca):
        from clip_har.serving.rpc.tls import server_credentials

        server_credentials(config.grpc)
    path, _ = find_source().wanted()
    if not path.is_dir():
        raise BundleError(f"There is no bundle to serve: {path} does not exist.")


def _has_gpu(device: str) -> bool:
    from clip_har.inference.machine import has_nvidia_gpu

    return device != "cpu" and has_nvidia_gpu()


def _address(host: str) -> str:
    """A host's address as BentoML wants it: in numbers.

    Raises:
        ConfigError: if there is no such host.
    """
    try:
        return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]
    except OSError as error:
        raise ConfigError(f"host: there is no address for {host!r} ({error}).") from error


def _port(surface: str, host: str, port: int) -> int:
    """The port, if it can be listened on; any free one for 0.

    Raises:
        ConfigError: if it cannot.
    """
    address = _address(host)
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise ConfigError(
                f"{surface} cannot be served on {host}:{port} ({error.strerror}). Set "
                f"serving.{'' if surface == 'REST' else 'grpc.'}port to another one, 0 for any that is free."
            ) from error
        return probe.getsockname()[1]


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m clip_har.serving", description="Serve a model over REST and gRPC (docs/service.md)."
    )
    parser.add_argument(
        "--workspace", type=Path, metavar="FOLDER", help="whose champion is served, and followed: workspace"
    )
    parser.add_argument("--outputs", type=Path, metavar="FOLDER", help="where the newest bundle is looked for: outputs")
    parser.add_argument("--bundle", type=Path, metavar="FOLDER", help="this bundle instead")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings, or a run's config with a section `serving`"
    )
    parser.add_argument("--host", help="address to serve on: 127.0.0.1")
    parser.add_argument("--port", type=int, help="port of REST: 3000; 0 for any that is free")
    parser.add_argument(
        "--set", action="append", default=[], metavar="serving.KEY=VALUE", help="one setting; may be given again"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
