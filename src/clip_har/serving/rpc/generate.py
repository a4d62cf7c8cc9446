"""Renews the generated messages and stubs from the protos: `python -m clip_har.serving.rpc.generate`.

Needs grpcio-tools. What protoc makes is changed in three ways: it registers in a pool of our own (see
schemas/rpc/pool.py), it is importable from where it lies, and of the service's classes only the stub is kept.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from clip_har.errors import ConfigError
from clip_har.storage import write_atomic

PACKAGE = "clip_har.serving.schemas.rpc"
PROTOS = Path(__file__).parent / "protos"
GENERATED = Path(__file__).parents[1] / "schemas" / "rpc"


def generate(folder: Path = GENERATED) -> list[Path]:
    """Write the modules of all protos into a folder.

    Raises:
        ConfigError: if grpcio-tools is missing, or a proto is wrong.
    """
    try:
        from grpc_tools import protoc
    except ImportError as error:
        raise ConfigError("Generating wants grpcio-tools: pip install 'clip-har[dev]'.") from error
    protos = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))
    written = []
    with TemporaryDirectory() as made:
        outputs = [f"--{kind}_out={made}" for kind in ("python", "pyi", "grpc_python")]
        include = str(files("grpc_tools") / "_proto")
        if protoc.main(["protoc", f"-I{PROTOS}", f"-I{include}", *outputs, *protos]):
            raise ConfigError(f"protoc refuses a file below {PROTOS}; its reason is above.")
        for proto in protos:
            stem = proto.removesuffix(".proto")
            for ending in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py"):
                code = (Path(made) / f"{stem}{ending}").read_text()
                written.append(write_atomic(folder / f"{Path(stem).name}{ending}", _adapted(code, stem)))
    return written


def _adapted(code: str, stem: str) -> str:
    """Generated code of the proto `stem`, as it is kept."""
    package, _, name = stem.replace("/", ".").rpartition(".")
    module = f"{name}_pb2"
    original = f"from {package} import {module}" if package else f"import {module}"
    code = code.replace(f"\n{original} as ", f"\nfrom {PACKAGE} import {module} as ")
    code = code.replace(f"'{package}.{module}'" if package else f"'{module}'", f"'{PACKAGE}.{module}'")
    code = code.replace(
        "from google.protobuf import descriptor_pool as _descriptor_pool\n",
        f"from {PACKAGE}.pool import POOL as _pool\n",
    )
    code = code.replace("_descriptor_pool.Default()", "_pool")
    stub, marker, _ = code.partition("Servicer:\n")
    return stub[: stub.rindex("\n\nclass ")].rstrip() + "\n" if marker else code


def main() -> int:
    """Renew the committed files."""
    try:
        for path in generate():
            print(path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
