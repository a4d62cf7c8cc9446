"""Pipelines by name. Nothing heavy is imported here: `run.py --help` lists them in a moment."""

PIPELINES = {
    "data": "validate photographs, keep what is rejected in a queue, group, split, and publish a version",
    "train": "fit every method to the data, keep the best, measure it, publish a bundle and a report",
    "evaluate": "measure a bundle on a data set and publish a report",
    "deploy": "write a bundle's encoders in fast forms, keep those that answer like PyTorch, and promote it if it is better",
    "rollback": "bring the champion before this one back",
    "publish": "send a bundle with its model card to the Hugging Face Hub",
    "batch": "recognise every picture of a folder, a list, an archive, a table or a video, into a table",
    "monitor": "compare what the model saw lately with what it knows, and say whether to train again",
    "pretrain": "make a backbone from pictures and captions, and measure its zero-shot",
}
# The configuration of a pipeline if none is named.
CONFIGS = dict.fromkeys(PIPELINES, "sample.yaml") | {"pretrain": "pretrain.yaml"}
# A pipeline that another one runs first where what it needs has not been made.
MADE_FIRST = {"train": "data"}
# Pipelines that may run after another one, where what it found asks for them.
RUN_AFTER = {"monitor": ("data", "train", "deploy")}
