"""One workspace while it is worked on: its settings in force, its device, its clip."""

import contextlib
from collections.abc import Generator, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.atomic import remove_leftovers
from tav.bases.digest import base_digest
from tav.bases.parts import inspect_base
from tav.errors import CheckpointError, DeviceMemoryError, SettingsError
from tav.settings import parse
from tavcli.config.bases import find_base
from tavcli.config.calibration import Measured
from tavcli.config.files import Layer
from tavcli.config.settings import WorkspaceSettings, in_force, merge
from tavcli.events import Begin, Note, RunEvent
from tavcli.methods.loading import Network
from tavcli.workspace import external, stages
from tavcli.workspace.fingerprint import digest, digest_cache, key
from tavcli.workspace.folder import Workspace
from tavcli.workspace.locks import turn
from tavcli.workspace.model_cache import Warm
from tavcli.workspace.stages import Stage

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tav.bases import EncodedClip
    from tav.nets.inflate import VideoUNet
    from tav.video import Clip


class Session:
    """What a command works with. Events are yielded for whoever shows them; heavy imports happen on first use.

    `wait` says whether to wait for what another process is writing. `values` are settings to work by instead of those
    in tav.toml, as a job has kept them. `warm` is what a worker has in memory from the job before.
    """

    def __init__(
        self,
        workspace: Workspace,
        flags: Layer,
        wait: bool = True,
        values: Layer | None = None,
        warm: Warm | None = None,
    ) -> None:
        self.workspace = workspace
        self.wait = wait
        self.warm = warm or Warm()
        self.previews = False  # does somebody watch?
        self.upcoming: tuple[str, ...] = ()  # prompts of later jobs, read while the text encoder is there
        toml = workspace.read() if values is None else values
        parse(WorkspaceSettings, toml, "tav.toml")
        # A relative path means from the workspace, wherever the command is called.
        self.parts = inspect_base(find_base(merge(toml, flags)["base"], workspace.folder))
        self.settings = in_force(toml, flags, self.parts.recommendation)
        self._texts: dict[str, Tensor] = {}

    @property
    def source(self) -> Path:
        """The clip in the workspace, a file or a folder of frames. Raises SettingsError when it is gone."""
        path = self.workspace.folder / self.settings.clip.source
        if not (path.is_file() or path.is_dir()):
            raise SettingsError(f"the workspace's clip {path.name} is gone", "put it back, or make a new workspace")
        return path

    @cached_property
    def device(self) -> "torch.device":
        from tav.compute.device import choose_device

        return choose_device(self.settings.device)

    @cached_property
    def precision(self) -> str:
        from tav.compute.device import choose_precision

        return choose_precision(self.settings.precision, self.device).precision

    @cached_property
    def dtype(self) -> "torch.dtype":
        from tav.compute.device import DTYPES

        return DTYPES[self.precision]

    @cached_property
    def clip_inputs(self) -> dict[str, Any]:
        area = self.parts.recommendation.size or self.parts.native_size
        return stages.clip_inputs(self.settings, digest(self.source), area)

    @cached_property
    def base_digest(self) -> str:
        return base_digest(self.parts, digest_cache())

    @property
    def given(self) -> Stage | None:
        """Weights that take the place of tuning's: imported, or carried over from another base."""
        if self.settings.imported is not None:
            return external.imported_stage(self.workspace.tuned, self.base_digest, self.settings.imported)
        if self.settings.carried is not None:
            return external.carried_stage(self.workspace.tuned, self.base_digest, self.settings.carried)
        return None

    @property
    def tuned(self) -> Stage:
        return self.given or stages.tuned_in(
            self.workspace.tuned, self.settings, self.clip_inputs, self.base_digest, self.precision
        )

    def inverted(self, steps: int) -> Stage:
        """The inversion of the tuned weights that are there now."""
        tuned = self.tuned
        tuned_digest = digest(tuned.result) if tuned.result.is_file() else ""
        return self.inverted_from(tuned_digest, steps, self.precision)

    def inverted_from(self, tuned_digest: str, steps: int, precision: str) -> Stage:
        """The inversion of the tuned weights of that digest."""
        own = {"clip": self.clip_inputs, "base": self.base_digest, "precision": precision}
        network = {**own, "frame_attention": self.settings.frame_attention}
        return stages.inverted_in(self.workspace.inverted, network, tuned_digest, steps)

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
        clip: Clip = self.warm.get("clip", (self.clip_inputs, factors), read)
        return clip

    @cached_property
    def schedule(self) -> Any:
        from tav.diffusion.schedule import NoiseSchedule

        return NoiseSchedule.from_config(self.parts.scheduler)

    @property
    def network(self) -> Network:
        """The inflated network and what is in it, once loaded."""
        network: Network | None = self.warm.find("network", self._network_inputs)
        assert network is not None
        return network

    @property
    def video(self) -> "VideoUNet":
        """The inflated network, once loaded."""
        return self.network.video

    @property
    def _network_inputs(self) -> tuple[str, ...]:
        return (self.base_digest, self.precision, self.device.type, self.settings.frame_attention)

    def load_video(self) -> Iterator[RunEvent]:
        """Load the base's UNet, or take the one that is warm, and inflate it: untuned."""
        from tav.bases import load_unet
        from tav.nets.inflate import deflate, inflate

        network: Network | None = self.warm.find("network", self._network_inputs)
        if network is None:
            yield Note(f"loading {self.settings.base} ({self.precision} on {self.device.type})")
        with self.memory():
            unet = load_unet(self.parts, self.device, self.dtype) if network is None else deflate(network.video)
            video = inflate(unet, frame_attention=self.settings.frame_attention, seed=self.settings.tune.seed)
        video.folding.kernels.choices = Measured("kernels")
        self.warm.keep("network", self._network_inputs, Network(video))

    def turn(self, name: str, held: contextlib.ExitStack) -> Iterator[RunEvent]:
        """Hold the workspace's lock `name` in `held`, after waiting for it where that is wanted."""
        for words in turn(self.workspace, name, held, self.wait):
            yield Note(words)

    def load_tuned(self) -> Iterator[RunEvent]:
        """Load the network with its tuned weights, unless it is warm and has them."""
        from tav.adapters.tuned import load_tuned

        network: Network | None = self.warm.find("network", self._network_inputs)
        if network is None:
            yield from self.load_video()
        if self.network.weights != self.tuned.key:
            self.network.weights = "half-loaded"
            try:
                stages.refuse_other(self.tuned, load_tuned(self.tuned.result, self.video), "")
                self.network.weights = self.tuned.key
            except CheckpointError as error:
                raise CheckpointError(error.message, f"{external.how_again(self.tuned)} makes it again") from None

    def encoded(self) -> "Generator[RunEvent, None, EncodedClip]":
        """The clip's latents: posterior mean and deviation, encoded once, then kept in the cache."""
        from tav.bases import EncodedClip, encode_frames, load_vae
        from tav.tensor_files import read_tensors, save_tensors

        inputs = {"clip": self.clip_inputs, "base": self.base_digest, "precision": self.precision}
        path = self.workspace.cache / f"frames-{key('frames', inputs)}.safetensors"
        if path.is_file():
            with contextlib.suppress(CheckpointError):
                tensors, _ = read_tensors(path, "frames", mean=5, std=5)
                return EncodedClip(tensors["mean"], tensors["std"])
        frames = self.clip.frames
        yield Begin("encoding the clip", len(frames))
        with self.memory():
            encoded = yield from encode_frames(load_vae(self.parts, self.device, self.dtype), frames)
        # In memory as it will come from the cache: another order of the axes is summed in another order.
        encoded = EncodedClip(encoded.mean.contiguous(), encoded.std.contiguous())
        remove_leftovers(self.workspace.cache)
        save_tensors(path, "frames", {"mean": encoded.mean, "std": encoded.std}, inputs)
        return encoded

    def contexts(self, prompts: list[str]) -> "Generator[RunEvent, None, list[Tensor]]":
        """The text encoder's states (1 n d) for each prompt, kept in the cache; it is loaded only for new ones."""
        from tav.bases import encode_text, load_text
        from tav.tensor_files import read_tensors, save_tensors

        def place(prompt: str) -> Path:
            inputs = {"prompt": prompt, "base": self.base_digest, "precision": self.precision}
            return self.workspace.cache / f"text-{key('text', inputs)}.safetensors"

        for prompt in prompts:
            if prompt not in self._texts and place(prompt).is_file():
                with contextlib.suppress(CheckpointError):
                    self._texts[prompt] = read_tensors(place(prompt), "text", context=3)[0]["context"]
        remove_leftovers(self.workspace.cache)
        if any(prompt not in self._texts for prompt in prompts):
            soon = [prompt for prompt in self.upcoming if not place(prompt).is_file()]
            new = [prompt for prompt in dict.fromkeys([*prompts, *soon]) if prompt not in self._texts]
            yield Note("reading the captions")
            with self.memory():
                tokenizer, text_encoder = load_text(self.parts, self.device, self.dtype)
                for prompt in new:
                    self._texts[prompt] = encode_text(tokenizer, text_encoder, [prompt])
            for prompt in new:
                save_tensors(place(prompt), "text", {"context": self._texts[prompt]}, {"prompt": prompt})
        return [self._texts[prompt] for prompt in prompts]

    def decoded(self, latents: "dict[str, Tensor]") -> "Generator[RunEvent, None, list[Any]]":
        """Frames (f h w 3) uint8, letterbox bars cut off, for each of the latents; their names are for people."""
        from tav.bases import decode_latents, load_vae, to_uint8

        decoded = []
        with self.memory():
            vae = load_vae(self.parts, self.device, self.dtype)
            for what, one in latents.items():
                yield Begin(f"decoding {what}", one.shape[2])
                decoded.append(self.clip.content.cut(to_uint8((yield from decode_latents(vae, one)))))
        return decoded

    @property
    def source_frames(self) -> Any:
        """The clip's frames (f h w 3) uint8 without letterbox bars."""
        return self.clip.content.cut(self.clip.frames)

    @contextlib.contextmanager
    def memory(self) -> Iterator[None]:
        """Running out of memory is the user's to mend, not a bug."""
        from tav.compute.memory import is_out_of_memory

        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            hint = "close other programs, or take fewer frames or a smaller size (`--dry-run` says what is needed)"
            raise DeviceMemoryError(f"out of memory on {self.device}", hint) from None
