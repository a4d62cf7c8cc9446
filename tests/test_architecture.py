"""Who may import whom: the arrows of the design, read from the imports of the code, those inside functions included."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
LIBRARY = PROJECT / "src" / "clip_har"

# Single modules at the top of the library that every room may import.
FOUNDATION = {"commands", "component", "environment", "errors", "hashing", "memory", "pages", "progress", "storage"}
# What a room imports directly; what those import in turn is allowed too.
ARROWS: dict[str, set[str]] = {
    "samples": set(),
    "data": {"samples"},
    "models": {"data"},
    "training": {"models"},
    "adaptation": {"training"},
    "inference": {"models"},
    "evaluation": {"inference"},
    "export": {"inference"},
    "capture": set(),
    "serving": {"inference", "capture", "registry"},
    "batch": {"inference", "capture"},
    "ui": {"inference", "client", "labelling"},
    "labelling": {"capture", "data"},
    "monitoring": {"capture", "inference", "labelling"},
    "runs": {"models"},
    "tracking": {"runs"},
    "registry": {"runs"},
    "client": {"serving.schemas"},
    "terminal": {"client", "inference", "registry"},
    "cli": {
        "batch",
        "capture",
        "client",
        "data",
        "evaluation",
        "labelling",
        "registry",
        "serving",
        "terminal",
        "tracking",
    },
    "__main__": {"cli"},
}
# Packages that only some rooms may import. Every other room, and a room that is missing here, may not.
ROOMS_OF_PACKAGES: dict[str, set[str]] = {
    "bentoml": {"serving", "registry"},
    "datasets": {"data"},
    "dvc": {"data"},
    "dvc_data": {"data"},
    "dvc_objects": {"data"},
    "evidently": {"monitoring"},
    "fastapi": {"serving"},
    "grpc": {"serving", "client"},
    "httpx": {"client", "serving", "ui"},
    "jinja2": {"batch", "evaluation", "pages", "export", "registry", "monitoring"},
    "matplotlib": {"evaluation", "monitoring"},
    "mlflow": {"tracking", "registry"},
    "onnx": {"export"},
    "onnxruntime": {"inference", "export"},
    "opentelemetry": {"serving"},
    "optuna": {"adaptation"},
    "peft": {"adaptation"},
    "prometheus_client": {"serving"},
    "pygit2": {"data"},
    "ray": {"batch"},
    "scmrepo": {"data"},
    "streamlit": {"ui"},
    "tensorrt": {"inference", "export"},
    "tensorrt_rtx": {"inference", "export"},
    "torch": {"environment", "models", "training", "adaptation", "inference", "export"},
    "transformers": {"models"},
    "wandb": {"tracking", "registry"},
    # Orchestration is not the library's; and nothing of ours is ever written or read as a pickle.
    "zenml": set(),
    "pickle": set(),
    "joblib": set(),
    "cloudpickle": set(),
    "dill": set(),
}


def imports_of(file: Path) -> set[str]:
    """Dotted names of everything that a file imports, at any depth; `from a import b` counts as `a` and `a.b`."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("clip_har."):
            found.add(node.value.partition(":")[0])  # the registries' entries, imported by name
    return found


def room_of(file: Path) -> str:
    return file.relative_to(LIBRARY).parts[0].removesuffix(".py")


def reachable(room: str) -> set[str]:
    direct = ARROWS.get(room, set())
    return direct.union(*(reachable(other) for other in direct)) if direct else set()


def violations(file: Path, room: str) -> list[str]:
    allowed = reachable(room) | FOUNDATION | {room}
    ours = {name.removeprefix("clip_har.") for name in imports_of(file) if name.startswith("clip_har.")}
    return sorted(name for name in ours if not any(name == other or name.startswith(f"{other}.") for other in allowed))


MODULES = sorted(LIBRARY.rglob("*.py"))
# config.py composes all components; the package itself names what it offers, imported when asked for.
COMPOSERS = {"config", "__init__"}
BELOW_ALL = [file for file in MODULES if room_of(file) not in COMPOSERS]


@pytest.mark.parametrize("file", BELOW_ALL, ids=lambda file: file.relative_to(LIBRARY).as_posix())
def test_imports_follow_the_arrows(file):
    room = room_of(file)
    assert room in ARROWS or room in FOUNDATION, f"{room} has no place in the arrows of the design"
    assert not violations(file, room), f"{room} must not import these"


@pytest.mark.parametrize(
    ("room", "code", "wrong"),
    [
        ("data", "from clip_har.models.head import TextHead", "models.head"),
        ("samples", "def draw():\n    from clip_har.data import image", "data.image"),
        ("models", "import clip_har.inference.predictor", "inference.predictor"),
        ("errors", "from clip_har import data", "data"),
        ("training", "ENTRY = 'clip_har.adaptation.lora:Lora'", "adaptation.lora"),
        ("client", "from clip_har.serving.service import Service", "serving.service"),
        ("tracking", "from clip_har import config", "config"),
    ],
)
def test_a_wrong_import_is_seen(tmp_path, room, code, wrong):
    file = tmp_path / "module.py"
    file.write_text(code)
    assert wrong in violations(file, room)


def test_packages_are_imported_only_in_their_rooms():
    strays = [
        f"{file.relative_to(LIBRARY)}: {package}"
        for file in MODULES
        for package in {name.partition(".")[0] for name in imports_of(file)}
        if package in ROOMS_OF_PACKAGES and room_of(file) not in ROOMS_OF_PACKAGES[package]
    ]
    assert not strays


def test_the_library_knows_nothing_of_the_project_around_it():
    project = {"materializers", "pipelines", "stacks", "steps", "run", "tests"}
    strays = [(file.name, name) for file in MODULES for name in imports_of(file) if name.partition(".")[0] in project]
    assert not strays


def test_only_the_entry_point_and_pipelines_compose_the_config():
    allowed = {"run.py", "pipelines", "tests", "benchmarks"}  # which start a job as run.py does
    folders = ("src", "steps", "materializers", "stacks", "pipelines", "benchmarks", "tests")
    files = [PROJECT / "run.py", *(file for folder in folders for file in (PROJECT / folder).rglob("*.py"))]
    importers = {
        file.relative_to(PROJECT).parts[0]
        for file in files
        if imports_of(file) & {"clip_har.config"} and file != LIBRARY / "config.py"
    }
    assert importers <= allowed
    assert "pipelines" in importers  # else the search found nothing at all


HEAVY = [
    *("torch", "transformers", "peft", "sklearn", "pandas", "matplotlib", "datasets", "pyarrow", "zenml", "mlflow"),
    *("bentoml", "streamlit", "evidently", "wandb", "onnxruntime", "ray", "grpc", "dvc", "pygit2", "optuna"),
]


@pytest.mark.parametrize(
    "statement",
    [
        "import clip_har",
        "from clip_har import ClipHarError",
        # What `run.py --dry-run` needs before it can refuse a mistaken config.
        "from clip_har.config import load_config",
    ],
)
def test_import_is_light(statement):
    code = f"import sys\n{statement}\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def test_import_changes_nothing_outside(tmp_path):
    """No folders, no environment variables, no logging set up, no warnings filtered at import."""
    code = (
        "import logging, os, sys, warnings\n"
        "import pydantic, numpy, PIL, yaml\n"
        "def state():\n"
        "    environment = hash(tuple(sorted(os.environ.items())))\n"
        "    return environment, len(logging.root.handlers), len(warnings.filters), os.listdir('.')\n"
        "before = state()\n"
        "import clip_har.config, clip_har.runs, clip_har.models.bundle, clip_har.data.validation\n"
        "assert state() == before, (before, state())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_all_that_the_package_offers_exists():
    import clip_har

    assert all(getattr(clip_har, name) is not None for name in clip_har.__all__)
    with pytest.raises(AttributeError, match="Predictr"):
        _ = clip_har.Predictr
