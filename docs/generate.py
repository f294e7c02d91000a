"""Writes docs/commands.md and docs/settings.md from the code: `python docs/generate.py`; a test finds them stale."""

import html
import os
import re
import subprocess
import sys
import tomllib
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from tav.settings import BaseRecommendation, Settings
from tav.video.frame_selection import MOST_BY_DEFAULT, RATE_BY_DEFAULT
from tavcli.config.settings import WorkspaceSettings
from tavcli.config.templates import presets
from tavcli.config.user import UserSettings

DOCS = Path(__file__).resolve().parent
NOTE = "<!-- Made by `python docs/generate.py`. Change the code, not this file. -->\n"

# Commands -------------------------------------------------------------------------------------------------------------


def commands() -> str:
    """The command reference, by Typer's own generator."""
    command = [
        sys.executable,
        "-m",
        "typer",
        "tavcli.commands.app",
        "utils",
        "docs",
        "--name",
        "tav",
        "--title",
        "Commands",
    ]
    environment = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment, encoding="utf-8")
    return NOTE + _whole_summaries(html.unescape(done.stdout)).strip() + "\n"


def _whole_summaries(text: str) -> str:
    """Typer cuts the summaries in lists of commands; the sections have them whole."""
    sections = dict(re.findall(r"^#+ `(tav [^`]+)`\n\n(.+)$", text, re.M))
    for name, summary in sections.items():
        text = re.sub(
            rf"^\* `{name.split()[-1]}`: (.+)\.\.\.$", rf"* `{name.split()[-1]}`: {summary}", text, flags=re.M
        )
    return text


# Settings -------------------------------------------------------------------------------------------------------------

INTRODUCTION = """\
# Settings

Settings are strict: an unknown name, a wrong type or a value out of bounds is an error. For an unknown name it says
which known one is nearest.

## Where a value comes from

Later ones win, setting by setting:

1. the default in the tables below,
2. what the base recommends (`tav.json` in the base's folder),
3. the preset named in `tav.toml`,
4. `tav.toml`,
5. flags.

A `stride` given at one level replaces an `fps` from the levels before it, and the other way round. `tav show` prints
what is in force. `tav init` writes what it chose (base, caption, and all of `[clip]`) into `tav.toml`, so a preset that
is changed later does not change the frames. `tav tune` and `tav invert` write their flags into `tav.toml` as well (not
`--device`); the flags of `tav edit` are for that one call.
"""

CLIP_RULES = f"""
- `stride` and `fps` exclude each other. A number as `stride` is at least 1; `"uniform"` without `frames` spreads 24.
- Without `stride` and `fps`: the stride that comes nearest to {RATE_BY_DEFAULT} frames a second.
- Without `frames`: as many as there are, at most {MOST_BY_DEFAULT}. With `frames`, a clip that has fewer is an error.
- Without `size`: the clip's aspect, at the area that the base recommends or was trained on.
"""

LEXICON = """\
## A base's lexicon.json

In the base's folder. It need not exist. Where it does, `tav init` and `tav edit` warn of each word of a caption or
prompt that the base was not trained on, with the nearest ones that it was, and go on.

| field | meaning |
|---|---|
| `format` | 1 |
| `words` | a list of the words it was trained on, in lower case |
| `spare` | a list of words that have a token of their own and no meaning until something is tuned under them |
"""


def settings() -> str:
    """The settings reference, from the models themselves."""
    nested = {name: field.annotation for name, field in WorkspaceSettings.model_fields.items() if _is_model(field)}
    parts = [NOTE + INTRODUCTION, "## tav.toml\n", _table(WorkspaceSettings)]
    for name, model in nested.items():
        parts += [f"### [{name}]\n", _table(model) + (CLIP_RULES if name == "clip" else "")]
    parts += ["## Presets\n", "`-` means: not set by the preset.\n", _presets()]
    parts += ["## The user's config.toml\n", "In the folder `TAV_HOME`, else where the platform keeps settings "]
    parts[-1] += "(`tav doctor` says where). It need not exist.\n"
    parts += [_table(UserSettings), "## A base's tav.json\n", "In the base's folder. It need not exist.\n"]
    return "\n".join([*parts, _table(BaseRecommendation), LEXICON])


def _table(model: type[Settings]) -> str:
    rows = [["setting", "type", "bounds", "default", "meaning"]]
    for name, field in model.model_fields.items():
        if not _is_model(field):
            bounds = _bounds(field.metadata) or _bounds_inside(field.annotation)
            rows.append([f"`{name}`", _kind(field.annotation), bounds, _default(field), field.description or ""])
    return _markdown(rows)


def _presets() -> str:
    values = {name: _leaves(tomllib.loads(path.read_text(encoding="utf-8"))) for name, path in presets().items()}
    names = [name for name in _leaves(_defaults()) if any(name in preset for preset in values.values())]
    rows = [["setting", *(f"`{preset}`" for preset in values), "default"]]
    for name in names:
        given = (_value(preset[name]) if name in preset else "-" for preset in values.values())
        rows.append([f"`{name}`", *given, _value(_leaves(_defaults())[name])])
    return _markdown(rows)


def _defaults() -> dict[str, Any]:
    sections = {name: field.annotation for name, field in WorkspaceSettings.model_fields.items() if _is_model(field)}
    return {
        section: {name: field.default for name, field in model.model_fields.items()}
        for section, model in sections.items()
    }


def _leaves(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def _is_model(field: Any) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Settings)


def _kind(annotation: Any) -> str:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(part) for part in inside if part is not type(None))
    if origin is Annotated:
        return _kind(inside[0])
    if origin is Literal:
        return " or ".join(f'`"{choice}"`' for choice in inside)
    if origin is tuple:
        return "[width, height]"
    return {int: "integer", float: "number", str: "text", bool: "true or false"}[annotation]


def _bounds(metadata: Any) -> str:
    words = {
        "ge": "at least {}",
        "gt": "more than {}",
        "le": "at most {}",
        "lt": "less than {}",
        "min_length": "not empty",
    }
    given = [
        words[name].format(_number(getattr(item, name))) for item in metadata for name in words if hasattr(item, name)
    ]
    return ", ".join(given)


def _bounds_inside(annotation: Any) -> str:
    """Those of the sides of a size."""
    for part in get_args(annotation):
        if get_origin(part) is Annotated and get_origin(get_args(part)[0]) is tuple:
            side = get_args(get_args(part)[0])[0]
            return f"each side {_bounds(get_args(side)[1].metadata)}"
    return ""


def _number(value: Any) -> str:
    return "2^63" if value == 2**63 else str(value)


def _default(field: Any) -> str:
    return "required" if field.is_required() else _value(field.default)


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f'`"{value}"`' if isinstance(value, str) else f"{value}"


def _markdown(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]) + "\n"


PAGES = {"commands.md": commands, "settings.md": settings}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (DOCS / page).write_text(make(), encoding="utf-8")
