"""Recipes, from files that anyone may have written: checked, as TOML, and as the command that makes the video again."""

import math
import shlex
from typing import Any, Literal

import tomlkit
from pydantic import Field

from tav.errors import SettingsError
from tav.settings import Precision, SampleSettings, parse
from tavcli.text import escaped, printable

_DEEPEST = 8  # levels; recipes that tav writes have at most tables of lists


class Recipe(SampleSettings):
    """The fields of a recipe that its command needs; the others are only shown."""

    prompt: str
    steps: int = Field(ge=1, le=500)
    precision: Precision
    scale: Literal["source"] | None = None


def checked(recipe: dict[str, Any], where: str) -> Recipe:
    """The recipe, checked. Raises SettingsError that names `where` if it is invalid or cannot be shown."""
    if strange := _strange(recipe):
        raise SettingsError(f"{where}: {strange}", "tav did not write this recipe")
    known = {name: recipe[name] for name in Recipe.model_fields if name in recipe}
    return parse(Recipe, known, where)


def _strange(value: Any, depth: int = 0) -> str | None:
    """Why TOML or a screen cannot hold a value, or None."""
    if depth > _DEEPEST:
        return "tables in tables without end"
    if isinstance(value, dict | list):
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return next(filter(None, (_strange(one, depth + 1) for one in inner)), None)
    if isinstance(value, str):
        return "text that is no Unicode" if any("\ud800" <= c <= "\udfff" for c in value) else None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else "a number of more than 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value} is no number"
    return f"a value is {'null' if value is None else 'a ' + type(value).__name__}, which no recipe has"


def normalized(settings: SampleSettings) -> SampleSettings:
    """The settings without those that change nothing, so that equal videos have equal recipes."""
    dead: dict[str, Any] = {}
    if not settings.inversion:
        dead["vary"] = 0.0
    if settings.inversion and settings.vary == 0:
        dead["seed"] = 0
    if settings.guidance_scale == 1:
        dead["negative_prompt"] = ""
    return settings.model_copy(update=dead)


def as_toml(recipe: dict[str, Any]) -> str:
    """`recipe` as TOML with control characters escaped, so that a terminal can show it and TOML reads the same."""
    return "\n".join(map(printable, tomlkit.dumps(recipe).rstrip().split("\n")))


def command(recipe: Recipe, output: str | None = None) -> str:
    """The command line that makes this edit in its workspace, written to `output` too."""
    # Every setting is named, since tav.toml may say something else by now.
    words = ["tav", "edit", "--guidance", _number(recipe.guidance_scale), "--steps", str(recipe.steps)]
    words += ["--negative", recipe.negative_prompt, "--vary", _number(recipe.vary), "--seed", str(recipe.seed)]
    words += ["--inversion" if recipe.inversion else "--no-inversion", "--precision", recipe.precision]
    words += ["-o", output] if output else []
    words += ["--scale", recipe.scale] if output and recipe.scale else []
    # A word after `--` is never read as a flag.
    return " ".join(map(_quoted, [*words, *(["--"] if recipe.prompt.startswith("-") else []), recipe.prompt]))


def _number(value: float) -> str:
    """The shortest text for exactly this number."""
    return repr(value).removesuffix(".0")


def _quoted(word: str) -> str:
    """A word quoted for a shell; unprintable characters as bash and zsh spell them."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join("\\" + c if c in "\\'" else escaped(c) for c in word) + "'"
