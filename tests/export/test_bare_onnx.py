"""The script of docs/deployment.md: ONNX Runtime, numpy and Pillow are all that an exported bundle needs."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clip_har.export.exporting import with_exports
from clip_har.inference.predictor import Predictor
from tests.command import PROJECT
from tests.export.conftest import Exported

# Before the script runs: whatever it must do without cannot be imported.
_NOTHING_ELSE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "clip_har", "onnx", "safetensors", "tokenizers"}:
            raise ImportError(f"{name} was to be done without")
sys.meta_path.insert(0, Refuse())
"""


def bare_script() -> str:
    text = (PROJECT / "docs" / "deployment.md").read_text(encoding="utf-8")
    return re.search(r"<!-- bare -->\n```python\n(.*?)```", text, re.DOTALL)[1]


@pytest.mark.parametrize("architecture", ["clip", "siglip"])
def test_the_script_answers_as_the_predictor_does(
    exported: Callable[[str], Exported], architecture: str, tmp_path: Path
) -> None:
    made = exported(architecture)
    bundle = with_exports(made.bundle, made.made, made.report, tmp_path / "bundle")
    (tmp_path / "bare.py").write_text(_NOTHING_ELSE + bare_script())
    paths = [str(path) for path in made.study.validation.paths[:5]]
    command = [sys.executable, "-I", tmp_path / "bare.py", bundle.path, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = [line.split("\t") for line in done.stdout.splitlines()]
    wanted = Predictor.load(bundle, runtime="torch", device="cpu").predict(paths)
    assert [(path, label) for path, label, _ in answers] == [
        (path, answer.label) for path, answer in zip(paths, wanted, strict=True)
    ]
    for (_, _, probability), answer in zip(answers, wanted, strict=True):
        assert float(probability) == pytest.approx(answer.scores[0], abs=1e-4)
