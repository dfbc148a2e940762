"""The models that can be exported by name, each in one module, and those of one's own."""

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from edgespark.export.blueprint import Blueprint
from edgespark.export.recipes.files import FileRecipe
from edgespark.runtime.errors import UsageError
from edgespark.runtime.wording import near

RECIPES = {
    "allspark-tiny": "edgespark.export.recipes.allspark",
    "allspark-base": "edgespark.export.recipes.base",
    "allspark-7b": "edgespark.export.recipes.lynx",
    "onellm-7b": "edgespark.export.recipes.onellm",
}
SUFFIX = ".py"


class Recipe(Protocol):
    """What a recipe's module offers."""

    def blueprint(self, name: str, folder: Path | None, modalities: tuple[str, ...]) -> Blueprint:
        """Make the model of that name, with the shipped weights where `folder` is None.

        `modalities` choose among those the model has; none stands for all.
        """


def recipe(name: str) -> Recipe:
    """Import the recipe of that name, or run the .py file at that path.

    UsageError lists the known names, or tells what is wrong with the file; MissingInput where there
    is no such file.
    """
    if name.endswith(SUFFIX):
        return FileRecipe(Path(name))
    if name not in RECIPES:
        raise UsageError(
            f"no recipe {name!r}{near(name, RECIPES)}; there are: {', '.join(RECIPES)}, "
            "and any path to a .py file that defines one"
        )
    return cast("Recipe", import_module(RECIPES[name]))


def model_name(name: str) -> str:
    """Return what the model of a recipe is called: a file's is its own name without .py."""
    return Path(name).stem if name.endswith(SUFFIX) else name
