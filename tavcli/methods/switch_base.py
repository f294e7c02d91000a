"""Another base for a workspace: what becomes stale, what each way to go on costs, and the change itself.

There are two ways. Tuning again, and carrying over: what tuning changed in the old base is put on the new one, and only
the inversion is made again. Nothing is lost either way: with the old base back, its results are fresh again.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import tav
from tav.atomic import remove_leftovers
from tav.errors import CheckpointError, TavError
from tavcli.config.bases import written_name
from tavcli.config.files import Layer
from tavcli.methods.forecast import Forecast, Forecaster
from tavcli.methods.invert import inverted_stage
from tavcli.methods.tune import tuned_stage
from tavcli.workspace import external
from tavcli.workspace.fingerprint import digest
from tavcli.workspace.folder import Workspace
from tavcli.workspace.locks import locked
from tavcli.workspace.session import Session
from tavcli.workspace.stages import Stage, State, read_inputs

if TYPE_CHECKING:
    from torch import Tensor

# Whether another base's UNet computes in higher precision inside attention changes nothing that was learned.
_HARMLESS = {"upcast_attention"}


@dataclass(frozen=True)
class Way:
    """One way to go on: which stages would be there, and what the others need; `tune` is None where none is tuned."""

    tuned: State
    inverted: State
    tune: Forecast | None
    invert: Forecast | None

    @property
    def seconds(self) -> float:
        """Of all that would have to run."""
        return sum(forecast.seconds for forecast in (self.tune, self.invert) if forecast)


class BaseSwitch:
    """The plan to give `workspace` the base `name`; `flags` are device and precision. Nothing is written before `go`.

    Raises whatever a session with the new base would: there is no such base, the clip's size does not suit it, ...
    """

    def __init__(self, workspace: Workspace, name: str, flags: Layer) -> None:
        self.workspace, self.flags = workspace, flags
        self.was = str(workspace.read().get("base", ""))
        self.base = written_name(name)
        self.new = self._session({})
        if (imported := _imported_for(self.new)) is not None and tuned_stage(self.new).state != "fresh":
            self.new = self._session({"imported": imported})  # the base is back that these weights were imported for
        _ = self.new.clip  # so that what does not suit the base is said now

    def _session(self, values: Layer) -> Session:
        cleared: Layer = {"imported": None, "carried": None}
        return Session(self.workspace, {**self.flags, **cleared, "base": self.base, **values})

    @cached_property
    def old(self) -> Session:
        """The workspace as it is. Raises BaseModelError where its base is gone."""
        return Session(self.workspace, self.flags)

    def stale(self) -> list[str]:
        """Names of the stages that are fresh now and would not be any more."""
        try:
            now = _states(self.old)
        except TavError:
            return []
        then = _states(self.new)
        return [name for name, state in now.items() if state == "fresh" and then[name] != "fresh"]

    def again(self) -> Way:
        """Tuning again, or taking up what was tuned on the new base before."""
        return _way(self.new)

    def carrying(self) -> Way:
        """Carrying over. Raises CheckpointError, or what `old` raises, saying why it cannot be."""
        return _way(self._carrying())

    def _carrying(self) -> Session:
        return self._session({"carried": _carried(self._source[0])})

    @cached_property
    def _source(self) -> "tuple[Stage, dict[str, Tensor]]":
        """The fresh tuned stage and what tuning changed there (mapped, not read), once it is known to fit."""
        from tav.adapters.tuned import difference
        from tav.bases.load import blueprint
        from tav.nets.inflate import inflate

        source = tuned_stage(self.old)
        if "imported" in source.inputs:
            message = "imported weights hold whole queries, not what tuning changed in them: they stay with their base"
            raise CheckpointError(message, "tune the new base, or import weights for it")
        external.refuse_lost(source)
        if source.state != "fresh":
            raise CheckpointError(f"there are no tuned weights to carry over ({source.state})", "`tav tune` makes them")
        _refuse_other_shapes(self.old, self.new)
        return source, difference(source.result, inflate(blueprint(self.new.parts, "unet")))

    @property
    def other_target(self) -> str:
        """What both bases predict, in words, where it is not the same: carried weights may then do little good."""
        try:
            was, now = self.old.parts.prediction_type, self.new.parts.prediction_type
        except TavError:
            return ""
        return f"{self.was} predicts {was}, {self.base} {now}" if was != now else ""

    def go(self, carry: bool) -> list[str]:
        """Write the base into tav.toml, and the carried weights first; returns a line for each setting that changed."""
        carried = None
        if carry:
            source, tensors = self._source
            carried = _carried(source)
            _keep(self._carrying(), tensors, external.carried_from(source) or self.was)
        imported = None if carry else self.new.settings.imported
        return self.workspace.remember({"base": self.base, "imported": imported, "carried": carried})


def _carried(source: Stage) -> str:
    """The digest that names the weights: of the file that tuning made, however often they were carried since."""
    return str(source.inputs.get("carried") or digest(source.result))


def _keep(session: Session, tensors: "dict[str, Tensor]", base: str) -> None:
    from tav.tensor_files import save_tensors

    stage = tuned_stage(session)
    with locked(session.workspace, f"tuned-{stage.key}"):
        remove_leftovers(stage.folder)
        if stage.state != "fresh":
            stage.open()
            external.note_origin(stage, base)
            about = {"base_name": session.settings.base, "tav": tav.__version__, "from": base}
            save_tensors(stage.result, "tuned", tensors, {**stage.inputs, **about})


def _way(session: Session) -> Way:
    steps, check = session.settings.invert.steps, session.settings.invert.check
    tuned, inverted = tuned_stage(session), inverted_stage(session, steps)
    tunes = external.way(tuned) is None and tuned.state != "fresh"
    forecaster = Forecaster(session)
    return Way(
        tuned.state,
        inverted.state,
        forecaster.tune(session.settings.tune.steps) if tunes else None,
        None if inverted.state == "fresh" else forecaster.invert(steps, check, steps),
    )


def _states(session: Session) -> dict[str, State]:
    return {
        one.name: one.state for one in (tuned_stage(session), inverted_stage(session, session.settings.invert.steps))
    }


def _imported_for(session: Session) -> str | None:
    """The digest of weights that were imported for this base, if there are any."""
    for folder in sorted(session.workspace.tuned.glob("*/")):
        inputs = read_inputs(folder)
        if inputs.get("base") == session.base_digest and isinstance(inputs.get("imported"), str):
            return str(inputs["imported"])
    return None


def _refuse_other_shapes(old: Session, new: Session) -> None:
    """Raise CheckpointError where the two UNets would compute something else with the same weights."""
    from tav.conversion.layouts import differing_fields, image_config

    one, other = old.parts.unet.config, new.parts.unet.config
    if fields := [name for name in differing_fields(one, other) if name not in _HARMLESS]:
        name = fields[0]
        was, now = (image_config(config)[name] for config in (one, other))
        more = f" (and {len(fields) - 1} more differences)" if len(fields) > 1 else ""
        message = f"what was tuned does not fit the other base: its UNet has {name} {now}, not {was}{more}"
        raise CheckpointError(
            message, "tune it again on that base: the same command without --carry-over, then `tav tune`"
        )
