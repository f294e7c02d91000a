"""One workspace in use: its settings in force, its device, its clip."""

import contextlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.bases.digest import base_digest
from tav.bases.parts import inspect_base
from tav.errors import SettingsError
from tav.settings import parse
from tavcli.config.bases import find_base
from tavcli.config.files import Layer
from tavcli.config.settings import WorkspaceSettings, in_force, merge
from tavcli.events import Note, RunEvent
from tavcli.workspace import stages
from tavcli.workspace.fingerprint import digest, digest_cache
from tavcli.workspace.folder import Workspace
from tavcli.workspace.locks import turn
from tavcli.workspace.model_cache import ModelCache

if TYPE_CHECKING:
    from tav.compute.device import TorchDevice, TorchDtype
    from tav.video import Clip


class Session:
    """The settings in force of one workspace, its device and its clip. Heavy imports happen on first use.

    `wait`: wait for a result that another process is writing? `values`: settings to use instead of those in tav.toml,
    as kept by a job. `models`: what a worker has in memory from the job before.
    """

    def __init__(
        self,
        workspace: Workspace,
        flags: Layer,
        wait: bool = True,
        values: Layer | None = None,
        models: ModelCache | None = None,
    ) -> None:
        self.workspace = workspace
        self.wait = wait
        self.models = models or ModelCache()
        self.previews = False  # are previews shown?
        self.upcoming: tuple[str, ...] = ()  # prompts of later jobs, encoded while the text encoder is loaded
        toml = workspace.read() if values is None else values
        parse(WorkspaceSettings, toml, "tav.toml")
        # A relative path starts at the workspace, wherever the command is called.
        self.parts = inspect_base(find_base(merge(toml, flags)["base"], workspace.folder))
        self.settings = in_force(toml, flags, self.parts.recommendation)
        self.texts: dict[str, Any] = {}  # encoded prompts

    @property
    def source(self) -> Path:
        """The clip in the workspace, a file or a folder of frames. Raises SettingsError when it is gone."""
        path = self.workspace.folder / self.settings.clip.source
        if not (path.is_file() or path.is_dir()):
            raise SettingsError(f"the workspace's clip {path.name} is gone", "put it back, or make a new workspace")
        return path

    @cached_property
    def device(self) -> "TorchDevice":
        from tav.compute.device import choose_device

        return choose_device(self.settings.device)

    @cached_property
    def precision(self) -> str:
        from tav.compute.device import choose_precision

        return choose_precision(self.settings.precision, self.device).precision

    @cached_property
    def dtype(self) -> "TorchDtype":
        from tav.compute.device import DTYPES

        return DTYPES[self.precision]

    @cached_property
    def clip_inputs(self) -> dict[str, Any]:
        area = self.parts.recommendation.size or self.parts.native_size
        return stages.clip_inputs(self.settings, digest(self.source), area)

    @cached_property
    def base_digest(self) -> str:
        return base_digest(self.parts, digest_cache())

    @cached_property
    def clip(self) -> "Clip":
        from tav.bases.sizes import check_size, fitting_size
        from tav.video import probe, read_clip

        def read() -> "Clip":
            info = probe(self.source)
            size = self.settings.clip.size or fitting_size(self.parts, info.width / info.height)
            check_size(self.parts, *size)
            return read_clip(self.source, self.settings.clip, size, info)

        factors = (self.parts.vae_factor, self.parts.size_multiple)
        clip: Clip = self.models.get("clip", (self.clip_inputs, factors), read)
        return clip

    def turn(self, name: str, held: contextlib.ExitStack) -> Iterator[RunEvent]:
        """Hold the workspace's lock `name` in `held`, after waiting for it if `wait` is set."""
        for words in turn(self.workspace, name, held, self.wait):
            yield Note(words)

    @property
    def source_frames(self) -> Any:
        """The clip's frames (f h w 3) uint8 without letterbox bars."""
        return self.clip.content.cut(self.clip.frames)
