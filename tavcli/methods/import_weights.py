"""Weights tuned elsewhere take the tuned stage's place."""

from pathlib import Path
from typing import TYPE_CHECKING

import tav
from tav.atomic import remove_leftovers
from tavcli.workspace.external import imported_stage
from tavcli.workspace.locks import locked
from tavcli.workspace.session import Session
from tavcli.workspace.stages import Stage

if TYPE_CHECKING:
    from tav.conversion.official_reader import Foreign


def read_weights(session: Session, path: Path) -> "tuple[Foreign, Stage]":
    """The weights at `path`, checked against the workspace's base, and the stage that they will be."""
    from tav.conversion.official_reader import read_foreign

    foreign = read_foreign(path, session.parts)
    return foreign, imported_stage(session.workspace.tuned, session.base_digest, foreign.digest)


def keep_weights(session: Session, foreign: "Foreign", stage: Stage, path: Path) -> None:
    """Write the weights, unless they are there, and make them the ones in force."""
    from tav.tensor_files import save_tensors

    with locked(session.workspace, f"tuned-{stage.key}"):
        remove_leftovers(stage.folder)
        if stage.state != "fresh":
            stage.open()
            about = {"base_name": session.settings.base, "tav": tav.__version__, "from": path.resolve().name}
            save_tensors(stage.result, "tuned", foreign.tensors, {**stage.inputs, **about})
    session.workspace.remember({"imported": foreign.digest, "carried": None})
