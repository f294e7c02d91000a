"""What is saved comes back bit for bit; what is not ours, or not whole, is refused with one line."""

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tav.adapters.tuned import difference, load_tuned, save_tuned
from tav.bases.load import blueprint
from tav.errors import CheckpointError
from tav.nets.inflate import VideoUNet, deflate, inflate, tuned_parameters
from tav.tensor_files import FORMAT, read_tensors, save_tensors

pytestmark = pytest.mark.usefixtures("one_thread")

PROVENANCE = {
    "caption": "a man is skiing ⛷",
    "steps": 500,
    "base": {"digest": "00ff"},
    "frames": [0, 2, 4],
    "none": None,
}


@pytest.fixture
def tuned(make_video: Callable[..., VideoUNet], randn: Callable[..., Tensor]) -> VideoUNet:
    """A network whose tuned parameters have all moved."""
    video = make_video()
    with torch.no_grad():
        for seed, parameter in enumerate(tuned_parameters(video).values()):
            parameter.add_(0.01 * randn(*parameter.shape, seed=seed))
    return video


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tuned" / "attention.safetensors"


def weights(video: VideoUNet) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in video.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_a_reloaded_network_is_the_one_that_was_saved(
    dtype: torch.dtype, make_video: Callable[..., VideoUNet], path: Path, randn: Callable[..., Tensor]
) -> None:
    saving, loading = (make_video(stirred=False, seed=seed) for seed in (1, 2))
    for video in (saving, loading):
        for name, parameter in video.named_parameters():
            if name not in video.tuned:
                parameter.data = parameter.data.to(dtype)
    for seed, parameter in enumerate(tuned_parameters(saving).values()):
        parameter.add_(0.01 * randn(*parameter.shape, seed=seed))
    save_tuned(path, saving, PROVENANCE)
    assert load_tuned(path, loading) == PROVENANCE
    assert same(weights(loading), weights(saving))
    given = randn(1, 4, 3, 8, 8), 501, randn(1, 6, 16)
    assert torch.equal(loading(*given), saving(*given))


def test_saving_again_changes_nothing(tuned: VideoUNet, path: Path) -> None:
    save_tuned(path, tuned, {})
    first, (file, _) = weights(tuned), read_tensors(path, "tuned")
    save_tuned(path, tuned, {})
    assert same(weights(tuned), first)
    assert same(read_tensors(path, "tuned")[0], file)


def test_saving_costs_half_precision_of_what_was_learned(tuned: VideoUNet, path: Path) -> None:
    before = weights(tuned)
    save_tuned(path, tuned, {})
    for name, value in weights(tuned).items():
        learned = (
            before[name] - tuned.tuned[name].base
            if name in tuned.tuned and tuned.tuned[name].base is not None
            else before[name]
        )
        assert ((value - before[name]).abs() <= 2**-11 * learned.abs() + 1e-7).all()


def test_a_value_takes_two_bytes(tuned: VideoUNet, path: Path) -> None:
    save_tuned(path, tuned, {})
    values = sum(parameter.numel() for parameter in tuned_parameters(tuned).values())
    header = struct.unpack("<Q", path.open("rb").read(8))[0]
    assert path.stat().st_size == 8 + header + 2 * values


def test_a_saved_network_deflates_to_its_base(tuned: VideoUNet, base: Callable, path: Path) -> None:
    save_tuned(path, tuned, {})
    assert same(deflate(tuned).state_dict(), base("tiny").unet.state_dict())


@pytest.mark.parametrize("provenance", [{}, PROVENANCE])
def test_tensors_and_provenance_come_back(provenance: dict, path: Path, randn: Callable[..., Tensor]) -> None:
    tensors = {
        "latents": randn(1, 4, 3, 8, 8),
        "half": randn(3, 2).half(),
        "turned": randn(4, 3).T,
        "step": torch.tensor(7),
        "random_state": torch.Generator().get_state(),
    }
    save_tensors(path, "state", tensors, provenance)
    back, told = read_tensors(path, "state")
    assert told == provenance
    assert same(back, tensors)
    assert {name: value.dtype for name, value in back.items()} == {name: value.dtype for name, value in tensors.items()}


# what tuning changed, for another base


def test_the_difference_is_what_was_saved(tuned: VideoUNet, base: Callable, path: Path) -> None:
    save_tuned(path, tuned, {})
    weightless = inflate(blueprint(base("tiny").parts, "unet"))
    assert same(difference(path, weightless), read_tensors(path, "tuned")[0])


def test_whole_queries_are_no_difference(tuned: VideoUNet, path: Path) -> None:
    save_tensors(path, "tuned", {name: one.detach() for name, one in tuned_parameters(tuned).items()}, {})
    load_tuned(path, tuned)
    with pytest.raises(CheckpointError, match="whole queries"):
        difference(path, tuned)


def test_the_difference_of_another_network_is_refused(
    tuned: VideoUNet, make_video: Callable[..., VideoUNet], path: Path
) -> None:
    save_tuned(path, tuned, {})
    with pytest.raises(CheckpointError, match="other shapes"):
        difference(path, make_video("sd1"))


# what is refused

METADATA = {"format": FORMAT, "kind": "tuned", "provenance": "{}"}


def whole_file(path: Path) -> bytes:
    save_tensors(path, "tuned", {"x": torch.zeros(100)}, {})
    return path.read_bytes()


def foreign(path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"x": torch.zeros(3)}, path, metadata)


class Bomb:
    """Harms whoever unpickles it."""

    def __reduce__(self) -> tuple:
        return pytest.exit, ("a pickle was opened",)


SPOILT: dict[str, Callable[[Path], object]] = {
    "absent": lambda _: None,
    "a folder": lambda path: path.mkdir(),
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"not a model " * 1000),
    "huge header": lambda path: path.write_bytes(b"\xff" * 64),
    "pickle": lambda path: path.write_bytes(pickle.dumps(Bomb())),
    "torch file": lambda path: torch.save({"x": Bomb()}, path),
    "cut in its values": lambda path: path.write_bytes(whole_file(path)[:-1]),
    "cut in its header": lambda path: path.write_bytes(whole_file(path)[:20]),
    "without metadata": lambda path: foreign(path, None),
    "of another program": lambda path: foreign(path, {"format": "pt"}),
    "of a later format": lambda path: foreign(path, METADATA | {"format": "tav-999"}),
    "of another kind": lambda path: foreign(path, METADATA | {"kind": "latents"}),
    "without provenance": lambda path: foreign(path, {"format": FORMAT, "kind": "tuned"}),
    "with broken provenance": lambda path: foreign(path, METADATA | {"provenance": "{"}),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_file_that_is_not_ours_is_refused(how: str, tmp_path: Path) -> None:
    path = tmp_path / "attention.safetensors"
    SPOILT[how](path)
    with pytest.raises(CheckpointError, match=r"attention\.safetensors") as refusal:
        read_tensors(path, "tuned")
    assert refusal.value.hint
    assert "\n" not in refusal.value.message + refusal.value.hint


UNFIT = ("missing", "more", "twice", "a difference to nothing", "another shape", "another network")


@pytest.mark.parametrize("how", UNFIT)
def test_parameters_that_do_not_fit_are_refused(
    how: str, tuned: VideoUNet, make_video: Callable[..., VideoUNet], path: Path
) -> None:
    save_tuned(path, make_video("sd1") if how == "another network" else tuned, {})
    tensors, _ = read_tensors(path, "tuned")
    first = next(iter(tensors))
    if how == "missing":
        del tensors[first]
    elif how == "more":
        tensors["more"] = torch.zeros(1)
    elif how == "twice":
        query = next(name for name in tensors if name.endswith(".diff"))
        tensors[query.removesuffix(".diff")] = tensors[query].clone()
    elif how == "a difference to nothing":
        temporal = next(name for name in tensors if "attn_temp" in name)
        tensors[f"{temporal}.diff"] = tensors.pop(temporal)
    elif how == "another shape":
        tensors[first] = tensors[first][:-1]
    save_tensors(path, "tuned", tensors, {})
    before = weights(tuned)
    with pytest.raises(CheckpointError, match="another network"):
        load_tuned(path, tuned)
    assert same(weights(tuned), before)


# saving that fails


def test_saving_that_fails_leaves_nothing_and_changes_nothing(tuned: VideoUNet, path: Path) -> None:
    path.mkdir(parents=True)
    before = weights(tuned)
    with pytest.raises(OSError, match="directory"):
        save_tuned(path, tuned, {})
    assert list(path.parent.iterdir()) == [path]
    assert same(weights(tuned), before)


def test_saving_that_fails_keeps_the_file_that_was_there(tuned: VideoUNet, path: Path) -> None:
    save_tuned(path, tuned, {"run": 1})
    file = path.read_bytes()
    with pytest.raises(TypeError):
        save_tuned(path, tuned, {"run": object()})
    with pytest.raises(Exception, match="meta"):
        save_tensors(path, "tuned", {"x": torch.zeros(3, device="meta")}, {})
    assert path.read_bytes() == file
    assert list(path.parent.iterdir()) == [path]


def test_provenance_is_readable_json_in_the_header(tuned: VideoUNet, path: Path) -> None:
    save_tuned(path, tuned, PROVENANCE)
    with path.open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    assert json.loads(header["__metadata__"]["tav-1"]) == {"kind": "tuned", "provenance": PROVENANCE}


def test_equal_results_are_equal_files(tuned: VideoUNet, tmp_path: Path) -> None:
    for name in ("one", "other"):
        save_tuned(tmp_path / name, tuned, PROVENANCE)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
