"""A trained model goes to the Hub and comes back: `publish`, then `evaluate` of what is there; only the network is replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import TRAIN
from tests.hub_server import READER, WRITER, Fault, hub_server

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

NAME = "owner/actions"
HUB = ("--set", f"hub.repository={NAME}", "--set", "hub.tag=v1")


def test_a_model_goes_to_the_hub_and_comes_back(first_run, tmp_path: Path) -> None:
    trained, _ = first_run
    place = trained.copy(tmp_path / "place")
    wanted, model_id = place.metrics()["test"], place.record()["model_id"]
    online = {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "hf")}

    with hub_server() as hub:
        online |= {"HF_ENDPOINT": hub.address, "HF_TOKEN": READER}
        done = place.run("publish", *TRAIN, *HUB, **online)
        assert (done.code, done.out) == (2, ""), done.err
        assert "Your token may not do this" in done.said
        assert "Traceback" not in done.err
        assert place.record()["pipeline"] == "train", "nothing was published"

        online |= {"HF_TOKEN": WRITER}
        hub.faults = [Fault("PUT", "large/", after=500, times=1)]  # which the client itself tries again
        done = place.run("publish", *TRAIN, *HUB, **online)
        assert done.code == 0, done.err
        assert place.ran() == {"open_bundle", "write_model_card", "publish_to_hub"}
        assert f"{hub.address}/{NAME} (private; tags v1, model-{model_id[:12]})" in done.said
        there = hub.model(NAME)
        assert there.private
        card = there.files("v1")["README.md"].decode()
        front = yaml.safe_load(card.split("---")[1])
        results = {metric["type"]: metric["value"] for metric in front["model-index"][0]["results"][0]["metrics"]}
        assert results["accuracy"] == round(wanted["accuracy"]["value"], 4)
        assert results["f1"] == round(wanted["macro_f1"]["value"], 4)
        revision = json.loads((trained.latest / "bundle/clip_har/bundle.json").read_text())["data_revision"]
        assert front["model-index"][0]["results"][0]["dataset"]["revision"] == revision
        assert str(tmp_path) not in card

        done = place.run("evaluate", *TRAIN, "--set", f"bundle=hf://{NAME}@v1", **online)
        assert done.code == 0, done.err
        assert place.record()["model_id"] == model_id
        for name in wanted.keys() - {"zero_shot"}:  # which `train` has of the backbone's own run
            assert place.metrics()["test"][name] == wanted[name], name
        assert [path.name for path in (place.workspace / "hub").glob("owner--actions@*")] == [
            f"owner--actions@{there.tags['v1']}"
        ]
        done = place.run("evaluate", *TRAIN, "--set", "bundle=hf://owner/nothing", **online)
        assert (done.code, done.out) == (2, "")
        assert "The Hub has no such thing as the repository owner/nothing" in done.said
