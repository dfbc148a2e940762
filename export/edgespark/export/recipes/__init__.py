"""The models that can be exported by name, each in one module."""

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from edgespark.export.blueprint import Blueprint
from edgespark.runtime.errors import UsageError
from edgespark.runtime.wording import near

RECIPES = {"allspark-tiny": "edgespark.export.recipes.allspark"}


class Recipe(Protocol):
    """What a recipe's module offers."""

    def blueprint(self, name: str, folder: Path | None, modalities: tuple[str, ...]) -> Blueprint:
        """Make the model of that name, with the shipped weights where `folder` is None.

        `modalities` choose among those the model has; none stands for all.
        """


def recipe(name: str) -> Recipe:
    """Import the recipe of that name; UsageError lists the known ones."""
    if name not in RECIPES:
        raise UsageError(
            f"no recipe {name!r}{near(name, RECIPES)}; there are: {', '.join(RECIPES)}"
        )
    return cast("Recipe", import_module(RECIPES[name]))
