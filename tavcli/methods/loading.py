"""Loading what runs share: the network, the clip's latents, the prompts' texts. Each is loaded once, and kept."""

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.atomic import remove_leftovers
from tav.errors import CheckpointError, DeviceMemoryError
from tavcli.config.calibration import Measured
from tavcli.events import Begin, Note, RunEvent
from tavcli.workspace.fingerprint import key
from tavcli.workspace.session import Session

if TYPE_CHECKING:
    from torch import Tensor

    from tav.bases import EncodedClip
    from tav.nets.inflate import VideoUNet


@dataclass
class Network:
    """The inflated network, and the key of the tuned weights in it: none, those of a stage, or half-made ones."""

    video: "VideoUNet"
    weights: str = ""


def noise_schedule(session: Session) -> Any:
    from tav.diffusion.schedule import NoiseSchedule

    return NoiseSchedule.from_config(session.parts.scheduler)


def loaded_network(session: Session) -> Network:
    """The inflated network and what is in it, once loaded."""
    network: Network | None = session.models.find("network", network_inputs(session))
    assert network is not None
    return network


def video_network(session: Session) -> "VideoUNet":
    """The inflated network, once loaded."""
    return loaded_network(session).video


def network_inputs(session: Session) -> tuple[str, ...]:
    return (session.base_digest, session.precision, session.device.type, session.settings.frame_attention)


def load_network(session: Session) -> Iterator[RunEvent]:
    """Load the base's UNet, or take the one that is warm, and inflate it: untuned."""
    from tav.bases import load_unet
    from tav.nets.inflate import deflate, inflate

    network: Network | None = session.models.find("network", network_inputs(session))
    if network is None:
        yield Note(f"loading {session.settings.base} ({session.precision} on {session.device.type})")
    with memory_guard(session):
        unet = load_unet(session.parts, session.device, session.dtype) if network is None else deflate(network.video)
        video = inflate(unet, frame_attention=session.settings.frame_attention, seed=session.settings.tune.seed)
    video.folding.kernels.choices = Measured("kernels")
    session.models.keep("network", network_inputs(session), Network(video))


def encoded_clip(session: Session) -> "Generator[RunEvent, None, EncodedClip]":
    """The clip's latents: posterior mean and deviation, encoded once, then kept in the cache."""
    from tav.bases import EncodedClip, encode_frames, load_vae
    from tav.tensor_files import read_tensors, save_tensors

    inputs = {"clip": session.clip_inputs, "base": session.base_digest, "precision": session.precision}
    path = session.workspace.cache / f"frames-{key('frames', inputs)}.safetensors"
    if path.is_file():
        with contextlib.suppress(CheckpointError):
            tensors, _ = read_tensors(path, "frames", mean=5, std=5)
            return EncodedClip(tensors["mean"], tensors["std"])
    frames = session.clip.frames
    yield Begin("encoding the clip", len(frames))
    with memory_guard(session):
        encoded = yield from encode_frames(load_vae(session.parts, session.device, session.dtype), frames)
    # In memory as it will come from the cache: another order of the axes is summed in another order.
    encoded = EncodedClip(encoded.mean.contiguous(), encoded.std.contiguous())
    remove_leftovers(session.workspace.cache)
    save_tensors(path, "frames", {"mean": encoded.mean, "std": encoded.std}, inputs)
    return encoded


def text_states(session: Session, prompts: list[str]) -> "Generator[RunEvent, None, list[Tensor]]":
    """The text encoder's states (1 n d) for each prompt, kept in the cache; it is loaded only for new ones."""
    from tav.bases import encode_text, load_text
    from tav.tensor_files import read_tensors, save_tensors

    def place(prompt: str) -> Path:
        inputs = {"prompt": prompt, "base": session.base_digest, "precision": session.precision}
        return session.workspace.cache / f"text-{key('text', inputs)}.safetensors"

    for prompt in prompts:
        if prompt not in session.texts and place(prompt).is_file():
            with contextlib.suppress(CheckpointError):
                session.texts[prompt] = read_tensors(place(prompt), "text", context=3)[0]["context"]
    remove_leftovers(session.workspace.cache)
    if any(prompt not in session.texts for prompt in prompts):
        soon = [prompt for prompt in session.upcoming if not place(prompt).is_file()]
        new = [prompt for prompt in dict.fromkeys([*prompts, *soon]) if prompt not in session.texts]
        yield Note("reading the captions")
        with memory_guard(session):
            tokenizer, text_encoder = load_text(session.parts, session.device, session.dtype)
            for prompt in new:
                session.texts[prompt] = encode_text(tokenizer, text_encoder, [prompt])
        for prompt in new:
            save_tensors(place(prompt), "text", {"context": session.texts[prompt]}, {"prompt": prompt})
    return [session.texts[prompt] for prompt in prompts]


def decoded_frames(session: Session, latents: "dict[str, Tensor]") -> "Generator[RunEvent, None, list[Any]]":
    """Frames (f h w 3) uint8, letterbox bars cut off, for each of the latents; their names are for people."""
    from tav.bases import decode_latents, load_vae, to_uint8

    decoded = []
    with memory_guard(session):
        vae = load_vae(session.parts, session.device, session.dtype)
        for what, one in latents.items():
            yield Begin(f"decoding {what}", one.shape[2])
            decoded.append(session.clip.content.cut(to_uint8((yield from decode_latents(vae, one)))))
    return decoded


@contextlib.contextmanager
def memory_guard(session: Session) -> Iterator[None]:
    """Running out of memory is the user's to mend, not a bug."""
    from tav.compute.memory import is_out_of_memory

    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        hint = "close other programs, or take fewer frames or a smaller size (`--dry-run` says what is needed)"
        raise DeviceMemoryError(f"out of memory on {session.device}", hint) from None
