"""The models that can be exported by name, each in one module."""

import difflib
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from edgespark.export.blueprint import Blueprint
from edgespark.runtime.errors import UsageError

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
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"no recipe {name!r}; there are: {', '.join(RECIPES)}{hint}")
    return cast("Recipe", import_module(RECIPES[name]))
