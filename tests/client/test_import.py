"""The client stands on the base dependencies alone."""

from __future__ import annotations

import subprocess
import sys

_BLOCKED = [
    *("torch", "transformers", "onnxruntime", "onnx", "fastapi", "starlette", "uvicorn", "bentoml", "grpc", "google"),
    *("pandas", "pyarrow", "sklearn", "safetensors", "tokenizers", "streamlit", "zenml", "mlflow", "wandb"),
    *("prometheus_client", "opentelemetry", "python_multipart"),
]
_SHUT = f"""
import sys, time
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {_BLOCKED!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}} (blocked)", name=name)
sys.meta_path.insert(0, Blocked())
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", _SHUT + code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_imported_quickly_and_without_what_servers_need():
    said = run(
        "import clip_har.client\n"
        "seconds = time.process_time()\n"
        "from clip_har.client import AsyncClient, Client, ClientSettings, ServiceProblem\n"
        "assert not Client('http://127.0.0.1:9', settings=ClientSettings(tries=1)).ready()\n"
        "print(seconds)\n"
    )
    assert float(said) < 0.8  # processor time, the interpreter's start included; 0.3 as a rule


def test_grpc_that_is_not_installed_is_said_and_how_to_get_it():
    said = run(
        "import clip_har.client\n"
        "from clip_har.errors import ClipHarError\n"
        "try:\n"
        "    clip_har.client.GrpcClient\n"
        "except ClipHarError as error:\n"
        "    print(isinstance(error, ImportError), error)\n"
    )
    assert said.startswith("True The gRPC clients want grpcio and protobuf (pip install 'clip-har[client-grpc]')")


def test_the_commands_for_people_need_no_more_where_a_service_answers():
    run(
        "from clip_har.cli import main\n"
        "for command in ('predict', 'watch', 'feedback'):\n"
        "    try:\n"
        "        main([command, '--help'])\n"
        "    except SystemExit as end:\n"
        "        assert end.code == 0\n"
        "assert main(['predict', '--url', 'http://127.0.0.1:9', sys.executable]) == 2\n"
        "assert main(['feedback', '--url', 'http://127.0.0.1:9', '5f0c' * 8, 'running']) == 2\n"
    )
