"""When memory runs out while training: how that is told, and what can be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clip_har.errors import TrainingError

if TYPE_CHECKING:
    import torch

    from clip_har.training.config import TrainerConfig
    from clip_har.training.distributed import World

_ON_CPU = ("can't allocate memory", "not enough memory")  # torch's allocator raises a plain RuntimeError there


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on a GPU or a CPU."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _ON_CPU)


def out_of_memory(config: TrainerConfig, accumulate: int, world: World, error: Exception) -> TrainingError:
    """The error for the person who can change the settings."""
    advice = []
    if accumulate < config.batch_size:
        advice.append(f"training.accumulate: {2 * accumulate} (the same result in smaller parts)")
        if not config.auto_batch and world.size == 1:
            advice.append("training.auto_batch: true (does so by itself)")
    if not config.gradient_checkpointing:
        advice.append("training.gradient_checkpointing: true")
    if config.precision == "fp32":
        advice.append("training.precision: auto")
    if config.distributed.mode != "fsdp":
        advice.append("training.distributed.mode: fsdp, on several GPUs")
    advice.append("a smaller training.batch_size or backbone")
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return TrainingError(
        f"Memory ran out with a batch of {config.batch_size} in {accumulate} part{'s' if accumulate > 1 else ''}: {first}. "
        f"What helps, in this order: {'; '.join(advice)}."
    )


def release_memory(device: torch.device) -> None:
    """Give back what torch keeps of freed memory, so that blocks of another size can be made of it."""
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
