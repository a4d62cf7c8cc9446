"""Number formats: autocast, the scale of a float16 loss, TF32, and norms of gradients wherever their parts lie."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from clip_har.errors import TrainingError

if TYPE_CHECKING:
    import torch

    from clip_har.training.distributed import World


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The type that autocast uses, or None for plain float32.

    Raises:
        TrainingError: if fp16 is asked for on a CPU.
    """
    import torch

    if precision == "fp16" and device.type == "cpu":
        raise TrainingError("training.precision: fp16 needs a CUDA device; on a CPU use fp32 or bf16.")
    if precision == "auto":
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def autocast(device: torch.device, dtype: torch.dtype | None) -> contextlib.AbstractContextManager:
    """Autocast to `dtype`; nothing for None."""
    import torch

    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype)


@contextlib.contextmanager
def tf32(wanted: bool, device: torch.device) -> Iterator[None]:
    """Matrix products in TF32 for the block, on CUDA; torch's setting is put back afterwards."""
    import torch

    if not wanted or device.type != "cuda":
        yield
        return
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def check_master_weights(parameters: list[torch.nn.Parameter]) -> None:
    """Updates are far smaller than weights: they are lost in 16 bits.

    Raises:
        TrainingError: if a parameter to be trained is not float32 (or wider).
    """
    import torch

    narrow = {parameter.dtype for parameter in parameters} & {torch.float16, torch.bfloat16}
    if narrow:
        raise TrainingError(
            f"The parameters to train are {', '.join(sorted(str(dtype).removeprefix('torch.') for dtype in narrow))}; "
            "training needs them in float32. Set model.dtype: float32, and training.precision for the speed of 16 bits."
        )


class LossScale:
    """Keeps small gradients from vanishing in float16: the loss is multiplied, the gradients are divided again.

    Micikevicius et al. 2018, "Mixed Precision Training", section 3.2, with torch's growth and backoff. Torch's own
    `GradScaler` looks at each process's part of a sharded gradient; here the step is judged by the norm over all of them.

    Args:
        enabled: only for float16; else everything is left as it is.
    """

    FIRST, GROWTH, BACKOFF, INTERVAL = 65536.0, 2.0, 0.5, 2000

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.scale = self.FIRST if enabled else 1.0
        self.good_steps = 0

    def apply(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss to go backward from."""
        return loss * self.scale if self.enabled else loss

    def undo(self, parameters: list[torch.nn.Parameter]) -> None:
        """Divide the gradients, in place."""
        if self.enabled:
            for gradient in gradients(parameters):
                gradient.mul_(1 / self.scale)

    def update(self, finite: bool) -> None:
        """After a step: smaller when it overflowed, larger after many that did not."""
        if not self.enabled:
            return
        self.good_steps = self.good_steps + 1 if finite else 0
        if not finite:
            self.scale *= self.BACKOFF
        elif self.good_steps == self.INTERVAL:
            self.scale, self.good_steps = self.scale * self.GROWTH, 0


def gradients(parameters: list[torch.nn.Parameter]) -> list[torch.Tensor]:
    """This process's part of each gradient."""
    found = (parameter.grad for parameter in parameters if parameter.grad is not None)
    return [gradient.to_local() if hasattr(gradient, "to_local") else gradient for gradient in found]


def clip_gradients(parameters: list[torch.nn.Parameter], bound: float | None, world: World) -> float:
    """Scale the gradients down to a norm of `bound` if they are above; the norm they had.

    Without a bound they are left as they are. Every process gets the same number.
    """
    import torch

    sharded = [parameter for parameter in parameters if hasattr(parameter, "to_local")]
    whole = [parameter for parameter in parameters if not hasattr(parameter, "to_local")]
    norm = torch.nn.utils.get_total_norm(gradients(whole))
    if sharded:
        pieces = gradients(sharded)
        squares = world.sum([float(torch.nn.utils.get_total_norm(pieces)) ** 2])[0] + float(norm) ** 2
        norm = torch.tensor(math.sqrt(squares), device=norm.device)
    if bound is not None:
        torch.nn.utils.clip_grads_with_norm_(whole, bound, norm)
        for piece in gradients(sharded):
            piece.mul_(torch.clamp(bound / (norm + 1e-6), max=1.0).to(piece.device))
    return float(norm)
