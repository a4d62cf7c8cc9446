"""The workflows of GitHub Actions: valid, safe, and calling nothing that no test calls."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from clip_har.data.versions import VersionStore
from clip_har.serving.packaging.store import BentoStore
from tests.automation.workflows import FILES, FOLDER, Script, commands, script, scripts, steps, workflow
from tests.command import PROJECT
from tests.data.versions.world import described, write_pictures

HERE = "tests/automation/test_workflows.py"
# Start of a command → the tests that call it. The longest start that fits counts.
CALLED_BY = {
    "make setup": f"{HERE}::test_make_and_ci_run",
    "make lint": f"{HERE}::test_make_and_ci_run",
    "make test-fast": f"{HERE}::test_make_and_ci_run",
    ".ci/run": f"{HERE}::test_make_and_ci_run",
    '.venv/bin/python -m pip install -c constraints.txt "dvc[$DVC_EXTRA]"': f"{HERE}::test_pip_takes_what_is_asked_of_it",
    "python -m pip install -c constraints.txt .": f"{HERE}::test_pip_takes_what_is_asked_of_it",
    ".venv/bin/dvc remote add": "tests/e2e/test_dvc.py::test_the_stages_run_what_has_changed",
    ".venv/bin/dvc pull": "tests/e2e/test_dvc.py::test_the_stages_run_what_has_changed",
    ".venv/bin/dvc repro evaluate": "tests/e2e/test_dvc.py::test_the_stages_run_what_has_changed",
    "clip-har compare": "tests/e2e/test_dvc.py::test_the_stages_run_what_has_changed",
    "cat comparison.md": "tests/e2e/test_dvc.py::test_the_stages_run_what_has_changed",
    "gh pr comment": f"{HERE}::test_one_comment_is_renewed",
    "gh run list": f"{HERE}::test_the_last_retraining_is_found",
    ".venv/bin/clip-har data clone": f"{HERE}::test_the_newest_data_are_fetched",
    ".venv/bin/python run.py --pipeline train": f"{HERE}::test_retraining_composes",
    ".venv/bin/python run.py --pipeline deploy": f"{HERE}::test_retraining_composes",
    "make bento": f"{HERE}::test_the_champion_is_packed",
    ".venv/bin/bentoml export": f"{HERE}::test_the_champion_is_packed",
    "docker build": f"{HERE}::test_the_images_are_built_as_the_documents_say",
    "docker run": f"{HERE}::test_the_images_are_built_as_the_documents_say",
    "docker login": f"{HERE}::test_the_images_are_pushed_where_a_registry_is_named",
    "docker tag": f"{HERE}::test_the_images_are_pushed_where_a_registry_is_named",
    "docker push": f"{HERE}::test_the_images_are_pushed_where_a_registry_is_named",
}


def lint(*command: str | Path) -> subprocess.CompletedProcess:
    tool, *arguments = map(str, command)
    line = [str(Path(sys.executable).with_name(tool)), *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=60)


def zizmor(place: Path) -> subprocess.CompletedProcess:
    return lint("zizmor", "--offline", "--persona", "pedantic", "--strict-collection", "--no-progress", place)


@pytest.mark.parametrize("schema", ["vendor.github-workflows", "custom.github-workflows-require-timeout"])
def test_workflows_are_valid(schema):
    done = lint("check-jsonschema", "--builtin-schema", schema, *FILES)
    assert done.returncode == 0, done.stdout


def test_workflows_are_safe():
    done = zizmor(FOLDER)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("right", "wrong", "seen_by"),
    [
        ("runs-on: ubuntu-24.04", "run-on: ubuntu-24.04", "schema"),
        ('comment "$NUMBER"', 'comment "${{ github.event.pull_request.title }}"', "template-injection"),
        ("persist-credentials: false", "fetch-depth: 1", "artipacked"),
        ("@de0fac2e4500dabe0009e67214ff5f5447ce83dd", "@v6", "unpinned-uses"),
        ("permissions: {}", "permissions: write-all", "excessive-permissions"),
    ],
)
def test_a_wrong_workflow_is_seen(tmp_path, right, wrong, seen_by):
    """The linters look at what they are said to look at."""
    text = (FOLDER / "model.yml").read_text()
    assert right in text
    file = tmp_path / ".github" / "workflows" / "model.yml"
    file.parent.mkdir(parents=True)
    file.write_text(text.replace(right, wrong))
    if seen_by == "schema":
        done = lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", file)
    else:
        done = zizmor(file)
    assert done.returncode != 0
    assert (seen_by if seen_by != "schema" else "run-on") in done.stdout


def test_every_action_is_pinned_and_says_its_version():
    lines = [line for file in FILES for line in file.read_text().splitlines() if "uses:" in line]
    assert lines
    for line in lines:
        assert re.search(r"uses: actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line
    pins = {re.search(r"uses: (\S+)@(\S+)", line).groups() for line in lines}
    assert len(pins) == len({action for action, _ in pins}), "one version of each"


def test_only_what_runs_nothing_of_a_pull_request_may_write():
    for file in FILES:
        content = workflow(file.name)
        assert content["permissions"] == {}
        for job in content["jobs"].values():
            writes = [right for right in job["permissions"].values() if right == "write"]
            assert not writes or not any("checkout" in step.get("uses", "") for step in job["steps"]), file.name
        assert "pull_request_target" not in content[True], "it would give a fork's code our secrets"


def test_secrets_and_texts_reach_scripts_as_variables_only():
    for each in scripts():
        assert "${{" not in each.text, each
        assert not re.search(r"^\s*(set -x|echo|printf|env\b|printenv)", each.text, re.MULTILINE), each


def test_a_model_is_measured_when_what_it_is_made_of_changes():
    paths = workflow("model.yml")[True]["pull_request"]["paths"]
    for path in paths:
        if "*" not in path.removesuffix("/**") and path != "dvc.lock":  # which `dvc repro` makes
            assert (PROJECT / path.removesuffix("/**")).exists(), path
    stages = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    made_of = {path for stage in stages.values() for path in stage["deps"] if not path.startswith("outputs/")}
    for path in made_of:
        starts = [start.removesuffix("/**") for start in paths]
        assert any(path == start or path.startswith(f"{start}/") for start in starts), path
    assert {"configs/**", "dvc.yaml", "**.dvc"} < set(paths)


@pytest.mark.parametrize("each", scripts(), ids=lambda each: f"{each.workflow}:{each.step}")
def test_every_command_is_called_by_a_test(each: Script):
    assert not re.search(r"(?<!\|)\|(?!\|)|\$\(|`|^\s*(if|for|while|case)\b", each.text, re.MULTILINE), (
        f"{each.step}: keep scripts to simple commands, of which each can be looked up"
    )
    for command in commands(each.text):
        known = [start for start in CALLED_BY if command.startswith(start)]
        assert known, f"{each.workflow} runs {command!r}, and no test is named here that calls it"
        file, _, function = CALLED_BY[max(known, key=len)].partition("::")
        tree = ast.parse((PROJECT / file).read_text())
        assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, (file, function)


def test_no_test_is_named_for_a_command_that_is_gone():
    run = [command for each in scripts() for command in commands(each.text)]
    assert [start for start in CALLED_BY if not any(command.startswith(start) for command in run)] == []


def test_scripts_pass_shellcheck(tmp_path):
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not on this machine (Debian has it as a package)")
    files = []
    for number, each in enumerate(scripts()):
        files.append(tmp_path / f"{number:02d}_{each.workflow}.sh")
        files[-1].write_text(f"#!/bin/bash\nset -eo pipefail\n# {each.step}\n{each.text}\n")
    done = subprocess.run(["shellcheck", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_make_and_ci_run(tmp_path):
    """`lint` to its end; of the others what they would do, the environment being there."""
    if not (PROJECT / ".venv" / "ready").is_file():
        pytest.skip("needs .venv as `make setup` makes it")
    (tmp_path / "ready").touch()  # newer than the pins: nothing is installed
    kept = f"READY={tmp_path / 'ready'}"
    assert "All checks passed" in script("ci.yml", "Check the style").run(PROJECT, MAKEFLAGS=kept)
    for step, wanted in (("Run the quick tests", "-m 'not slow'"), ("Run all tests", "-m pytest")):
        assert wanted in script("ci.yml", step).run(PROJECT, MAKEFLAGS=f"--dry-run {kept}")
    (tmp_path / "ready").unlink()
    for name in ("images.yml", "model.yml", "retrain.yml"):
        assert "pip install" in script(name, "Set the project up").run(PROJECT, MAKEFLAGS=f"--dry-run {kept}")
    assert not (tmp_path / "ready").exists()


def test_pip_takes_what_is_asked_of_it(tmp_path):
    """Without a registry: what is here already counts as found, and nothing is installed."""
    for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "src/clip_har/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / name)
    only_look = {"PIP_DRY_RUN": "1", "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    said = script("model.yml", "Install the light part of the package").run(tmp_path, **only_look)
    assert "Would install clip-har" in said
    for name in ("model.yml", "retrain.yml"):
        said = script(name, "Install what the DVC remote needs").run(tmp_path, DVC_EXTRA="s3", **only_look)
        assert "Requirement already satisfied: dvc[s3]" in said


def stand_in_for_gh(folder: Path, answer: str) -> dict[str, str]:
    """A `gh` that writes down its arguments and answers; the environment that finds it."""
    folder.mkdir()
    tool = folder / "gh"
    tool.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {folder / 'arguments'}\nprintf '%s\\n' '{answer}'\n")
    tool.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "GH_TOKEN": "", "REPOSITORY": "someone/clip-har"}


def test_one_comment_is_renewed(tmp_path):
    """Options as `gh help pr comment` has them."""
    environment = stand_in_for_gh(tmp_path / "bin", "")
    script("model.yml", "Comment, or renew the comment").run(tmp_path, **environment, NUMBER="7; exit 1")
    asked = (tmp_path / "bin" / "arguments").read_text().splitlines()
    assert asked[:3] == ["pr", "comment", "7; exit 1"]
    assert asked[3:] == [
        *("--repo", "someone/clip-har", "--edit-last", "--create-if-none", "--body-file", "comparison.md")
    ]


@pytest.mark.parametrize("name", ["images.yml", "retrain.yml"])
def test_the_last_retraining_is_found(name, tmp_path):
    """Options as `gh help run list` has them; what it answers becomes the step's output."""
    environment = stand_in_for_gh(tmp_path / "bin", "run=123")
    step = script(name, "Find the last retraining")
    step.run(tmp_path, **environment, GITHUB_REF_NAME="main", GITHUB_OUTPUT=str(tmp_path / "output"))
    assert (tmp_path / "output").read_text() == "run=123\n"
    asked = (tmp_path / "bin" / "arguments").read_text().splitlines()
    assert asked == [
        *("run", "list", "--repo", "someone/clip-har", "--workflow", "retrain.yml", "--branch", "main"),
        *("--status", "success", "--limit", "1", "--json", "databaseId", "--jq", r'"run=\(.[0].databaseId // "")"'),
    ]
    assert (FOLDER / asked[5]).is_file()


def test_the_newest_data_are_fetched(tmp_path):
    write_pictures(tmp_path / "photographs", range(4))
    remote = str(tmp_path / "remote")
    there = VersionStore(tmp_path / "there", remote)
    there.publish(*described(tmp_path / "photographs"), source_key="")
    (tmp_path / "here").mkdir()
    variables = {"DATA_REPOSITORY": f"file://{there.repository}", "DATA_REMOTE": remote}
    secrets = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    script("retrain.yml", "Fetch the newest data").run(tmp_path / "here", **variables, **secrets)
    assert VersionStore(tmp_path / "here" / "workspace").resolve("main") == there.current()


@pytest.mark.parametrize(("step", "last"), [("Train", "publish_run"), ("Export, and promote what is better", None)])
def test_retraining_composes(step, last, capsys, monkeypatch):
    """Both commands as they stand, to the point where work would begin; tests/e2e run the pipelines to their ends."""
    import shlex

    import run

    config, version = "configs/har_local.yaml", "v3"
    monkeypatch.chdir(PROJECT)
    words = shlex.split(script("retrain.yml", step).text.replace('"$CONFIG"', config).replace("$DATA_VERSION", version))
    assert words[:2] == [".venv/bin/python", "run.py"]
    assert run.main([*words[2:], "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert f"version: {version}" in out
    assert last is None or out.rstrip().endswith(last)


def test_a_retrained_bundle_is_the_one_that_is_deployed():
    train, deploy = (script("retrain.yml", step).text for step in ("Train", "Export, and promote what is better"))
    place = re.search(r"paths\.run=(\S+)", train)[1]
    assert f"--set bundle={place}/bundle " in deploy
    ours = [step.get("with", {}) for file, step in steps() if file == "retrain.yml"]
    kept = [told["path"] for told in ours if told.get("name") in ("registry", "reports")]
    assert len(kept) == 3
    assert kept[0] == kept[1] == "workspace/registry"


def test_the_champion_is_packed(tmp_path):
    """`make bento` says what is run; the file that is kept is the one that BentoML's command writes."""
    (tmp_path / "ready").touch()
    said = script("images.yml", "Pack the champion").run(PROJECT, MAKEFLAGS=f"--dry-run READY={tmp_path / 'ready'}")
    assert said.split()[1:] == ["-m", "clip_har.serving.packaging", "--workspace", "workspace"]
    home = workflow("images.yml")["jobs"]["bento"]["env"]["BENTOML_HOME"]
    place = BentoStore.of(tmp_path / "workspace").place("clip-har", "1")
    assert place == tmp_path / home / "bentos" / "clip-har" / "1"
    place.mkdir(parents=True)
    facts = {"service": "service:S", "name": "clip-har", "version": "1", "bentoml_version": "1.4.39", "spec": 2}
    made = {"creation_time": "2026-01-01T00:00:00+00:00", "entry_service": "clip-har", "labels": {}, "models": []}
    image = {"python_version": "3.11", "commands": [], "python_requirements": "", "base_image": "python"}
    (place / "bento.yaml").write_text(yaml.safe_dump(facts | made | {"image": image, "services": [], "envs": []}))
    BentoStore.of(tmp_path / "workspace").point_latest("clip-har", "1")
    script("images.yml", "Write the Bento into a file").run(tmp_path, BENTOML_HOME=home, BENTOML_DO_NOT_TRACK="True")
    kept = next(step for file, step in steps() if file == "images.yml" and step["name"] == "Keep it")
    assert (tmp_path / kept["with"]["path"]).is_file()


def stand_in_for_docker(folder: Path) -> dict[str, str]:
    """A `docker` that writes down its arguments, a line a call, and what it was given; the environment that finds it."""
    folder.mkdir()
    tool = folder / "docker"
    tool.write_text(
        f'#!/bin/bash\nprintf \'%s\\n\' "$*" >> {folder / "calls"}\n[ "$1" != login ] || cat > {folder / "given"}\n'
    )
    tool.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize("image", workflow("images.yml")["jobs"]["image"]["strategy"]["matrix"]["image"])
def test_the_images_are_built_as_the_documents_say(image, tmp_path):
    """Options as `docker build --help` and `docker run --help` have them."""
    environment = stand_in_for_docker(tmp_path / "bin") | {"IMAGE": image}
    for step in ("Build the image", "See that it starts"):
        script("images.yml", step).run(PROJECT, **environment)
    built, started = (tmp_path / "bin" / "calls").read_text().splitlines()
    assert (PROJECT / "deploy" / f"{image}.Dockerfile").is_file()
    assert built == f"build --file deploy/{image}.Dockerfile --tag clip-har:{image} ."
    assert f"docker {built}" in (PROJECT / "deploy" / f"{image}.Dockerfile").read_text()
    assert started == f"run --rm --read-only --tmpfs /tmp --cap-drop ALL clip-har:{image} --help"


def test_the_images_are_pushed_where_a_registry_is_named(tmp_path):
    environment = stand_in_for_docker(tmp_path / "bin") | {"IMAGE": "cpu", "VERSION": "v1"}
    secrets = {"IMAGE_REGISTRY_USER": "someone", "IMAGE_REGISTRY_PASSWORD": "$(exit 1) told to nobody"}
    script("images.yml", "Push it").run(tmp_path, **environment, IMAGE_REGISTRY="registry.example.com/a", **secrets)
    name = "registry.example.com/a/clip-har:v1-cpu"
    assert (tmp_path / "bin" / "calls").read_text().splitlines() == [
        "login registry.example.com/a --username someone --password-stdin",
        f"tag clip-har:cpu {name}",
        f"push {name}",
    ]
    assert (tmp_path / "bin" / "given").read_text() == f"{secrets['IMAGE_REGISTRY_PASSWORD']}\n"


def test_images_are_built_when_what_they_copy_changes():
    from tests.deploy.reading import DOCKERFILES, stages

    paths = [path.removesuffix("/**") for path in workflow("images.yml")[True]["push"]["paths"]]
    for path in paths:
        assert (PROJECT / path).exists(), path
    for instruction in (each for file in DOCKERFILES for stage in stages(file) for each in stage):
        if instruction.name == "COPY" and "--from=" not in instruction.text:
            for source in instruction.words[:-1]:
                assert any(
                    source == path or source.startswith(f"{path}/") or path == f"{source}/clip_har" for path in paths
                )
    assert {"deploy", ".dockerignore", ".github/workflows/images.yml"} <= set(paths)


def test_the_documents_name_every_secret_and_variable():
    document = (PROJECT / "docs" / "automation.md").read_text()
    for file in FILES:
        assert f"`{file.name}`" in document
        for kind, name in re.findall(r"\b(secrets|vars)\.([A-Z_]+)", file.read_text()):
            assert f"`{name}`" in document, (kind, name)
