"""A user's marks on an edit: a star, and tags. Their file is their own, so that marking never waits for a render."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tav.atomic import write_text
from tav.errors import SettingsError
from tavcli.config.files import read_json

MARKS = "marks.json"
_TAG = re.compile(r"[\w][\w-]{0,31}")


@dataclass(frozen=True)
class Marks:
    """A star, and tags in alphabetical order."""

    starred: bool = False
    tags: tuple[str, ...] = ()


def read_marks(folder: Path) -> Marks:
    """The marks in an edit's folder; none if the file is missing or invalid."""
    try:
        found = read_json(folder / MARKS)
    except SettingsError:
        return Marks()
    tags = found.get("tags")
    known = [tag for tag in tags if isinstance(tag, str) and _TAG.fullmatch(tag)] if isinstance(tags, list) else []
    return Marks(found.get("starred") is True, tuple(sorted(set(known))))


def write_marks(folder: Path, marks: Marks) -> None:
    """Write the marks of an edit; without any, remove the file."""
    if marks == Marks():
        (folder / MARKS).unlink(missing_ok=True)
    else:
        write_text(folder / MARKS, json.dumps({"starred": marks.starred, "tags": list(marks.tags)}))


def parse_tags(text: str) -> tuple[str, ...]:
    """The tags in a text, between blanks or commas. Raises SettingsError for an invalid one."""
    words = re.split(r"[\s,]+", text.strip()) if text.strip() else []
    for word in words:
        if not _TAG.fullmatch(word):
            raise SettingsError(f"`{word}` is no tag", "a tag is a word of letters, digits, _ and -, at most 32")
    return tuple(sorted(set(words)))
