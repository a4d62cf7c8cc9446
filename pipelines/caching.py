"""ZenML caching that is true: a step runs again when the code that it uses changes, and not when other code does.

ZenML itself looks at the step function only. Here every step depends on the files of all project modules that its
module imports, directly or through others, and on the module of the method or source that its config names.
"""

from __future__ import annotations

from zenml.config.cache_policy import CachePolicy
from zenml.steps import BaseStep

from steps.code import PROJECT, code_of


def on_its_code(step: BaseStep, *modules: str) -> BaseStep:
    """The step with a cache key that covers the code it uses.

    Args:
        modules: names of modules that the step finds at run time, through a registry.
    """
    files = code_of(step.source_object.__module__, *modules)
    relative = sorted(str(path.relative_to(PROJECT)) for path in files)
    return step.with_options(cache_policy=CachePolicy(file_dependencies=relative))
