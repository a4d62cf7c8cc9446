"""The actions of the drawn world."""

from __future__ import annotations

from clip_har.errors import DataError, did_you_mean

HAR_ACTIONS: tuple[str, ...] = (
    "calling",
    "clapping",
    "cycling",
    "dancing",
    "drinking",
    "eating",
    "fighting",
    "hugging",
    "laughing",
    "listening_to_music",
    "running",
    "sitting",
    "sleeping",
    "texting",
    "using_laptop",
)
"""The 15 labels of the Kaggle Human Action Recognition data set."""

OTHER_ACTIONS: tuple[str, ...] = (
    "cooking",
    "jumping",
    "kicking_ball",
    "lifting_weights",
    "painting",
    "playing_guitar",
    "pushing",
    "reading",
    "sweeping",
    "taking_photo",
    "walking",
    "waving",
)
ACTIONS: tuple[str, ...] = HAR_ACTIONS + OTHER_ACTIONS


class UnknownAction(DataError, ValueError):
    """An action that the drawn world does not have."""


def check_action(action: str) -> str:
    """The action itself.

    Raises:
        UnknownAction: if there is none of that name; the message names the nearest.
    """
    if action not in ACTIONS:
        raise UnknownAction(
            f"The drawn world has no action {action!r}. {did_you_mean(action, ACTIONS, limit=len(ACTIONS))}"
        )
    return action


def check_actions(actions: tuple[str, ...]) -> tuple[str, ...]:
    """The actions themselves.

    Raises:
        UnknownAction: if one of them does not exist; the message names the nearest.
        ValueError: if one is named twice.
    """
    for action in actions:
        check_action(action)
        if actions.count(action) > 1:
            raise ValueError(f"The action {action!r} is named twice.")
    return actions
