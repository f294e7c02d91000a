"""Tuned weights from outside this workspace: imported ones, and those carried over from another base.

They take the tuned stage's place. Caption, clip and `[tune]` have not made them and do not make them stale.
"""

import json
from pathlib import Path

from tav.atomic import write_text
from tav.errors import CheckpointError, SettingsError
from tavcli.config.files import Layer, read_json
from tavcli.workspace.fingerprint import digest
from tavcli.workspace.stages import GIVEN, TUNED, Stage

FROM = "from.json"  # beside carried weights: the name of the base they were tuned on, only to be shown
_AGAIN = {"imported": "`tav import PATH`", "carried": "`tav bases use OLD`, then `tav bases use NAME --carry-over`"}


def imported_stage(parent: Path, base_digest: str, imported: str) -> Stage:
    """The tuned stage whose weights were tuned elsewhere and have the digest `imported`."""
    return Stage("tuned", parent, TUNED, {"base": base_digest, "imported": imported})


def carried_stage(parent: Path, base_digest: str, carried: str) -> Stage:
    """The tuned stage of weights carried to this base: what tuning changed in another, of digest `carried`."""
    return Stage("tuned", parent, TUNED, {"base": base_digest, "carried": carried})


def way(stage: Stage) -> str | None:
    """The setting that brought a stage's weights, `imported` or `carried`; None for weights that are tuned here."""
    return next((name for name in GIVEN if name in stage.inputs), None)


def refuse_given(toml: Layer) -> None:
    """Raise SettingsError when tav.toml names weights from outside: then nothing is tuned here."""
    for name, words in GIVEN.items():
        if toml.get(name) is not None:
            other = " (so does `tav bases use NAME`)" if name == "carried" else ""
            raise SettingsError(f"the tuned weights are {words}", f"remove `{name}` from tav.toml to tune here{other}")


def in_words(found: str, name: str | None) -> str:
    """How weights from outside came, in words, and from which base."""
    return f"{GIVEN[found]} from {name}" if name else GIVEN[found]


def note_origin(stage: Stage, base: str) -> None:
    """Write down the name of the base that carried weights were tuned on."""
    write_text(stage.folder / FROM, json.dumps({"base": base}))


def carried_from(stage: Stage) -> str | None:
    """The name of the base that carried weights were tuned on; None if unknown or not printable."""
    try:
        name = read_json(stage.folder / FROM).get("base")
    except SettingsError:
        return None
    return name if isinstance(name, str) and name.isprintable() else None


def source_of(parent: Path, carried: str) -> Path | None:
    """The folder of the tuned stage that weights were carried from, if it is still there."""
    files = sorted(parent.glob(f"*/{TUNED}"))
    return next((file.parent for file in files if digest(file) == carried), None)


def refuse_lost(stage: Stage) -> None:
    """Raise CheckpointError when weights from outside are missing: tuning cannot make them."""
    found = way(stage)
    if found is not None and stage.state != "fresh":
        raise CheckpointError(
            f"the {GIVEN[found]} weights are gone, or the base is not the one they were {GIVEN[found]} for",
            f"{_AGAIN[found]} again, or remove `{found}` from tav.toml to tune here",
        )


def how_again(stage: Stage) -> str:
    """The command that makes tuned weights again when their file is of no use."""
    found = way(stage)
    return f"{_AGAIN[found]}, after removing it," if found else "`tav tune --fresh`"
