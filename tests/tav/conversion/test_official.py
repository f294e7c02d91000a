"""Checkpoints of the official code and its forks: what they compute is what comes in, and what goes out comes back."""

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from tav.adapters.tuned import load_tuned
from tav.bases import load_unet
from tav.bases.parts import BaseParts, inspect_base
from tav.conversion.layouts import image_config, video_config
from tav.conversion.official_reader import Foreign, read_foreign
from tav.conversion.official_writer import base_in, pipeline_size, slim_size, write_base, write_pipeline, write_slim
from tav.errors import BaseModelError, CheckpointError
from tav.nets.inflate import VideoUNet, inflate
from tav.tensor_files import save_tensors

pytestmark = pytest.mark.usefixtures("one_thread")

GOLDEN = Path(__file__).parents[2] / "golden"
MANIFEST = {name: json.loads((GOLDEN / name / "manifest.json").read_text()) for name in ("sd1", "sd2")}
QUERIES = ("attn1.to_q.weight", "attn2.to_q.weight")
Weights = dict[str, Tensor]


# What the official code and its forks write, from the recorded weights under their official names --------------------


@functools.cache
def whole(name: str) -> Weights:
    """All of the official UNet of a recorded state; its queries have moved, its norms are not the identity."""
    weights = load_file(GOLDEN / name / "base" / "unet" / "diffusion_pytorch_model.safetensors")
    return weights | load_file(GOLDEN / name / "temporal_random.safetensors")


def slim(name: str, norms: bool = True) -> Weights:
    return {
        key: value
        for key, value in whole(name).items()
        if key.endswith(QUERIES) or ".attn_temp." in key or (norms and ".norm_temp." in key)
    }


def prefixed(weights: Weights) -> Weights:
    return {f"module.{key}": value for key, value in weights.items()}


def forked(weights: Weights) -> Weights:
    return {key.replace("_temp.", "_temporal."): value for key, value in weights.items()}


def pipeline(folder: Path, name: str, weights: Weights, pickled: bool = True, **config: Any) -> Path:
    """The folder that the official code saves."""
    shutil.copytree(GOLDEN / name / "base", folder)
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"_class_name": "TuneAVideoPipeline", "unet": ["models", "UNet3DConditionModel"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    text = json.dumps({**MANIFEST[name]["unet_config"]}).replace("2D", "3D")
    official = {"_class_name": "UNet3DConditionModel", "mid_block_type": "UNetMidBlock3DCrossAttn", **json.loads(text)}
    (folder / "unet" / "config.json").write_text(json.dumps(official | config))
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    if pickled:
        torch.save(weights, folder / "unet" / "diffusion_pytorch_model.bin")
    else:
        save_file(weights, folder / "unet" / "diffusion_pytorch_model.safetensors")
    return folder


def saved(path: Path, weights: Any) -> Path:
    torch.save(weights, path)
    return path


LAYOUTS: dict[str, Callable[[Path, str], Path]] = {
    "slim": lambda path, name: saved(path, slim(name)),
    "slim, of a wrapped network": lambda path, name: saved(path, prefixed(slim(name))),
    "slim, of a fork": lambda path, name: saved(path, forked(slim(name))),
    "whole UNet": lambda path, name: saved(path, whole(name)),
    "pipeline": lambda path, name: pipeline(path, name, whole(name)),
    "pipeline, safetensors": lambda path, name: pipeline(path, name, whole(name), pickled=False),
    "pipeline, of a fork": lambda path, name: pipeline(path, name, forked(whole(name)), _class_name="UNetPseudo3D"),
}


def parts_of(name: str) -> BaseParts:
    return inspect_base(GOLDEN / name / "base")


@pytest.fixture
def imported(tmp_path: Path, make_video: Callable[..., VideoUNet]) -> Callable[[Foreign, str], VideoUNet]:
    """A network of the base with these weights, by way of tav's own file."""

    def make(foreign: Foreign, name: str) -> VideoUNet:
        save_tensors(tmp_path / "attention.safetensors", "tuned", foreign.tensors, {})
        video = make_video(name)  # stirred: nothing of what was there may stay
        load_tuned(tmp_path / "attention.safetensors", video)
        return video

    return make


# In -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sd1", "sd2"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_network_has_the_official_weights(layout: str, name: str, tmp_path: Path, imported: Callable) -> None:
    foreign = read_foreign(LAYOUTS[layout](tmp_path / "x.pth", name), parts_of(name))
    state = imported(foreign, name).state_dict()
    assert state.keys() == whole(name).keys()
    assert all(torch.equal(state[key], value) for key, value in whole(name).items())
    assert foreign.layout == layout.split(",")[0].replace("slim", "slim file")


@pytest.mark.parametrize("name", ["sd1", "sd2"])
@torch.no_grad()
def test_it_predicts_what_the_official_code_predicts(name: str, tmp_path: Path, imported: Callable) -> None:
    video = imported(read_foreign(LAYOUTS["slim"](tmp_path / "x.pth", name), parts_of(name)), name)
    given, expected = (load_file(GOLDEN / name / f"{file}.safetensors") for file in ("g1_forward", "g2_forward_random"))
    for key, value in expected.items():
        if not key.endswith("/random"):
            continue
        shape, t, _ = key.split("/")
        context = given[f"ehs_b{value.shape[0]}"]
        off = (video(given[f"{shape}/sample"], given[f"{shape}/{t}"], context) - value).abs().max()
        assert off <= MANIFEST[name]["tolerances"]["g1, g2 outputs"]["atol"], key


def test_equal_weights_have_equal_digests_whatever_they_came_in(tmp_path: Path) -> None:
    read = [read_foreign(make(tmp_path / str(n), "sd1"), parts_of("sd1")) for n, make in enumerate(LAYOUTS.values())]
    assert len({foreign.digest for foreign in read}) == 1
    moved = slim("sd1") | {key: value + 1 for key, value in slim("sd1").items() if key.endswith("to_out.0.bias")}
    assert read_foreign(saved(tmp_path / "moved", moved), parts_of("sd1")).digest != read[0].digest
    halved = {key: value.half() for key, value in slim("sd1").items()}
    assert read_foreign(saved(tmp_path / "half", halved), parts_of("sd1")).digest != read[0].digest


def test_without_norms_they_are_the_identity(tmp_path: Path, imported: Callable) -> None:
    plain = slim("sd1", norms=False)
    identity = {
        key: torch.ones_like(value) if key.endswith("weight") else torch.zeros_like(value)
        for key, value in whole("sd1").items()
        if ".norm_temp." in key
    }
    read = [
        read_foreign(saved(tmp_path / str(n), one), parts_of("sd1")) for n, one in enumerate((plain, plain | identity))
    ]
    assert read[0].digest == read[1].digest
    state = imported(read[0], "sd1").state_dict()
    assert all(torch.equal(state[key], value) for key, value in (plain | identity).items())


def test_biases_that_are_not_zero_stay(tmp_path: Path, imported: Callable) -> None:
    built = load_file(GOLDEN / "sd1" / "temporal_built.safetensors")
    biases = {key: value for key, value in built.items() if key.endswith("attn_temp.to_out.0.bias")}
    assert all(value.any() for value in biases.values())
    state = imported(read_foreign(saved(tmp_path / "x", slim("sd1") | built), parts_of("sd1")), "sd1").state_dict()
    assert all(torch.equal(state[key], value) for key, value in biases.items())


def test_a_base_in_half_precision_is_the_same_base_but_for_rounding(tmp_path: Path) -> None:
    folder = shutil.copytree(GOLDEN / "sd1" / "base", tmp_path / "half")
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({key: value.half() for key, value in load_file(file).items()}, file)
    path = LAYOUTS["pipeline"](tmp_path / "x", "sd1")
    assert read_foreign(path, inspect_base(folder)).rounded
    assert not read_foreign(path, parts_of("sd1")).rounded
    halved = pipeline(tmp_path / "y", "sd1", {key: value.half() for key, value in whole("sd1").items()})
    assert read_foreign(halved, parts_of("sd1")).rounded


# Out ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sd1", "sd2"])
def test_a_slim_file_holds_the_official_codes_trainable_parameters(
    name: str, tmp_path: Path, make_video: Callable[..., VideoUNet]
) -> None:
    write_slim(tmp_path / "s.pth", make_video(name, stirred=False))
    held = torch.load(tmp_path / "s.pth", weights_only=True)
    assert held.keys() == set(MANIFEST[name]["trainable"]["names"])
    assert {tensor.dtype for tensor in held.values()} == {torch.float32}
    assert sum(tensor.nbytes for tensor in held.values()) == slim_size(parts_of(name))


def test_stable_diffusion_has_112_tensors_of_74_million_values() -> None:
    config = {"cross_attention_dim": 768, "block_out_channels": (320, 640, 1280, 1280)}
    with torch.device("meta"):
        video = inflate(UNet2DConditionModel.from_config(config))
    assert len(video.tuned) == 112
    assert sum(tuned.parameter.numel() for tuned in video.tuned.values()) == 74_354_880


@pytest.mark.parametrize("name", ["sd1", "sd2"])
def test_a_pipeline_is_what_the_official_code_saves(name: str, tmp_path: Path, imported: Callable) -> None:
    video = imported(read_foreign(LAYOUTS["slim"](tmp_path / "x.pth", name), parts_of(name)), name)
    write_pipeline(tmp_path / "p", parts_of(name), video)
    held = torch.load(tmp_path / "p" / "unet" / "diffusion_pytorch_model.bin", weights_only=True)
    assert held.keys() == whole(name).keys()
    assert all(torch.equal(held[key], value) for key, value in whole(name).items())
    config = json.loads((tmp_path / "p" / "unet" / "config.json").read_text())
    recorded = json.loads(json.dumps(MANIFEST[name]["unet_config"]).replace("2D", "3D"))
    assert config == config | recorded
    assert (config["_class_name"], config["mid_block_type"]) == ("UNet3DConditionModel", "UNetMidBlock3DCrossAttn")
    index = json.loads((tmp_path / "p" / "model_index.json").read_text())
    assert index["unet"] == ["models", "UNet3DConditionModel"]
    assert {key for key in index if not key.startswith("_")} == {
        path.name for path in (tmp_path / "p").iterdir() if path.is_dir()
    }
    weights = sum(path.stat().st_size for path in (tmp_path / "p").rglob("*.bin"))
    assert 0.8 * weights < pipeline_size(parts_of(name)) < weights


@pytest.mark.parametrize("kind", ["slim", "pipeline"])
def test_what_goes_out_comes_back(kind: str, tmp_path: Path, imported: Callable) -> None:
    first = read_foreign(LAYOUTS["slim"](tmp_path / "x.pth", "sd1"), parts_of("sd1"))
    video = imported(first, "sd1")
    target = tmp_path / "out.pth"
    write_slim(target, video) if kind == "slim" else write_pipeline(target, parts_of("sd1"), video)
    assert read_foreign(target, parts_of("sd1")).digest == first.digest


@torch.no_grad()
def test_old_libraries_find_their_names(tiny_base: Path, tmp_path: Path) -> None:
    parts = inspect_base(tiny_base)
    write_pipeline(tmp_path / "p", parts, inflate(load_unet(parts)))
    vae, text = (
        torch.load(tmp_path / "p" / part / file, weights_only=True)
        for part, file in (("vae", "diffusion_pytorch_model.bin"), ("text_encoder", "pytorch_model.bin"))
    )
    assert {"query", "key", "value", "proj_attn"} <= {key.split(".")[-2] for key in vae if "attentions" in key}
    assert not any(".to_q." in key for key in vae)
    assert all(key.startswith("text_model.") for key in text)
    # And what has old names there is still compared with what has new ones here.
    assert not read_foreign(tmp_path / "p", parts).rounded
    moved = first(text, lambda x: x + 1, "token_embedding")
    torch.save(moved, tmp_path / "p" / "text_encoder" / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="text_encoder weight"):
        read_foreign(tmp_path / "p", parts)


def test_a_tokenizer_of_one_file_goes_out_as_the_old_two(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    base = shutil.copytree(GOLDEN / "sd1" / "base", tmp_path / "base")
    vocabulary = json.loads((base / "tokenizer" / "vocab.json").read_text())
    tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
    shutil.rmtree(base / "tokenizer")
    tokenizer.save_pretrained(base / "tokenizer")
    assert not (base / "tokenizer" / "vocab.json").exists()
    parts = inspect_base(base)
    write_pipeline(tmp_path / "p", parts, inflate(load_unet(parts)))
    out = tmp_path / "p" / "tokenizer"
    assert json.loads((out / "vocab.json").read_text()) == vocabulary
    assert (out / "merges.txt").read_text().splitlines()[1:] == [
        line for line in (GOLDEN / "sd1/base/tokenizer/merges.txt").read_text().splitlines() if line[0] != "#"
    ]


@pytest.mark.parametrize("name", ["sd1", "sd2"])
def test_configs_there_and_back(name: str) -> None:
    config = MANIFEST[name]["unet_config"]
    again = image_config(video_config(config, {}))
    assert again == again | config


@pytest.mark.parametrize(
    ("values", "word"),
    [({"conv_in_kernel": 5}, "conv_in_kernel"), ({"transformer_layers_per_block": [1, 2]}, "transformer_layers")],
)
def test_what_the_official_code_has_no_field_for_is_refused(values: dict, word: str) -> None:
    defaults = {"conv_in_kernel": 3, "transformer_layers_per_block": 1, "dropout": 0.0}
    video_config({"conv_in_kernel": 3, "transformer_layers_per_block": [1, 1], "dropout": 0.0}, defaults)
    with pytest.raises(CheckpointError, match=word):
        video_config(values, defaults)


def test_a_base_of_another_latent_scale_is_refused(
    tiny_base: Path, tmp_path: Path, make_video: Callable[..., VideoUNet]
) -> None:
    base = shutil.copytree(tiny_base, tmp_path / "base")
    config = json.loads((base / "vae" / "config.json").read_text())
    (base / "vae" / "config.json").write_text(json.dumps(config | {"scaling_factor": 0.5}))
    with pytest.raises(CheckpointError, match=r"0\.18215"):
        write_pipeline(tmp_path / "p", inspect_base(base), make_video())
    assert not (tmp_path / "p").exists()


# A pipeline's own base ------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_pipelines_base_and_its_weights_make_the_pipelines_network(tmp_path: Path) -> None:
    """Also where the frozen weights are nobody else's."""
    weights = {key: value * 1.01 for key, value in whole("sd1").items()}
    path = pipeline(tmp_path / "p", "sd1", weights)
    with pytest.raises(CheckpointError, match="another base") as refusal:
        read_foreign(path, parts_of("sd1"))
    assert "tav bases extract" in refusal.value.hint
    write_base(tmp_path / "base", base_in(path))
    parts = inspect_base(tmp_path / "base")
    save_tensors(tmp_path / "a.safetensors", "tuned", read_foreign(path, parts).tensors, {})
    video = inflate(load_unet(parts))
    load_tuned(tmp_path / "a.safetensors", video)
    state = video.state_dict()
    assert all(torch.equal(state[key], value) for key, value in weights.items())


def test_a_pipeline_without_a_part_holds_no_base(tmp_path: Path) -> None:
    path = LAYOUTS["pipeline"](tmp_path / "p", "sd1")
    shutil.rmtree(path / "vae")
    with pytest.raises(BaseModelError, match="vae"):
        base_in(path)
    assert read_foreign(path, parts_of("sd1")).tensors  # its tuned weights are there


# What is refused ------------------------------------------------------------------------------------------------------


class Bomb:
    """Harms whoever unpickles it."""

    def __reduce__(self) -> tuple:
        return pytest.exit, ("a pickle was opened",)


def without(weights: Weights, key: str) -> Weights:
    return {name: value for name, value in weights.items() if key not in name}


def first(weights: Weights, change: Callable[[Tensor], Tensor], key: str = "") -> Weights:
    name = next(name for name in weights if key in name)
    return weights | {name: change(weights[name])}


def cut(path: Path, length: int) -> Path:
    path.write_bytes(saved(path, slim("sd1")).read_bytes()[:length])
    return path


def modelscope(path: Path) -> Path:
    config = {"cross_attention_dim": 1024, "attention_head_dim": 64}
    names = ("conv_in.weight", "transformer_in.norm.weight", "down_blocks.0.temp_convs.0.conv1.0.weight")
    return pipeline(path, "sd1", {name: torch.zeros(2) for name in names}, **config)


def other_part(path: Path, part: str) -> Path:
    path = LAYOUTS["pipeline"](path, "sd1")
    (file,) = (path / part).glob("*.safetensors")
    save_file(first(load_file(file), lambda x: x + 1, "weight"), file)
    return path


REFUSED: dict[str, tuple[str, Callable[[Path], object]]] = {
    "absent": ("not there", lambda path: path),
    "an empty file": ("cannot read", lambda path: path.write_bytes(b"")),
    "a text": ("cannot read", lambda path: path.write_text("not a model\n" * 99)),
    "an empty folder": ("not a pipeline", lambda path: path.mkdir()),
    "a pickle that acts": ("nothing in it was run", lambda path: saved(path, {"x.attn_temp.y": Bomb()})),
    "an old pickle that acts": (
        "nothing in it was run",
        lambda path: torch.save(Bomb(), path, _use_new_zipfile_serialization=False),
    ),
    "half a file": ("cannot read", lambda path: cut(path, 100_000)),
    "the start of a file": ("cannot read", lambda path: cut(path, 10)),
    "a list": ("not a plain table", lambda path: saved(path, list(slim("sd1").values()))),
    "numbers": ("not a plain table", lambda path: saved(path, {"x.attn_temp.y": 3})),
    "nothing": ("something else", lambda path: saved(path, {})),
    "a LoRA": ("a LoRA", lambda path: saved(path, {"unet.down_blocks.0.attn1.to_q.lora_A.weight": torch.zeros(2)})),
    "a 2-D UNet": ("a 2-D UNet", lambda path: saved(path, without(whole("sd1"), "_temp."))),
    "a 2-D base": ("a 2-D UNet", lambda path: shutil.copytree(GOLDEN / "sd1" / "base", path)),
    "ModelScope": ("a ModelScope UNet3DConditionModel", modelscope),
    "a weight too few": ("lacks", lambda path: saved(path, without(slim("sd1"), "mid_block.attentions.0"))),
    "a weight too many": (
        "holds a weight that this base does not have",
        lambda path: saved(path, slim("sd1") | {"a.attn_temp.time_rel_pos_bias": torch.zeros(2)}),
    ),
    "another shape": ("another shape", lambda path: saved(path, first(slim("sd1"), lambda x: x[:-1]))),
    "another network": ("tuned on another base", lambda path: saved(path, slim("sd2"))),
    "whole numbers": ("is of type", lambda path: saved(path, first(slim("sd1"), lambda x: x.int(), "attn_temp"))),
    "not finite": ("not finite", lambda path: saved(path, first(slim("sd1"), lambda x: x / 0, "attn_temp"))),
    "another frozen weight": (
        "unet weight",
        lambda path: pipeline(path, "sd1", first(whole("sd1"), lambda x: x + 1e-6, "conv_in.weight")),
    ),
    "another VAE": ("vae weight", lambda path: other_part(path, "vae")),
    "another text encoder": ("text_encoder weight", lambda path: other_part(path, "text_encoder")),
    "other heads": ("attention_head_dim", lambda path: pipeline(path, "sd1", whole("sd1"), attention_head_dim=4)),
    "a config of lists": ("norm_eps", lambda path: pipeline(path, "sd1", whole("sd1"), norm_eps=[[{}]])),
    "no config": (
        "not a pipeline",
        lambda path: (pipeline(path, "sd1", whole("sd1")) / "unet" / "config.json").unlink(),
    ),
    "no weights": (
        "incomplete",
        lambda path: (pipeline(path, "sd1", whole("sd1")) / "unet" / "diffusion_pytorch_model.bin").unlink(),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_tuned_network_of_this_base_is_refused(what: str, tmp_path: Path) -> None:
    said, make = REFUSED[what]
    make(tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=said) as refusal:
        read_foreign(tmp_path / "x.pth", parts_of("sd1"))
    assert refusal.value.hint
    assert "\n" not in refusal.value.message + refusal.value.hint


@settings(max_examples=100)
@given(data=st.data(), old=st.booleans(), kind=st.sampled_from(["pth", "safetensors"]))
def test_a_damaged_file_is_refused(data: st.DataObject, old: bool, kind: str, home_guard: Path) -> None:
    path = home_guard / f"damaged.{kind}"
    small = {key: value[:1].clone() for key, value in slim("sd1").items()}
    if kind == "pth":
        torch.save(small, path, _use_new_zipfile_serialization=not old)
    else:
        save_file(small, path)
    whole_file = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        # Most of what is structure lies at the start and at the end.
        at = data.draw(st.one_of(st.integers(0, 400), st.integers(-400, -1), st.integers(0, len(whole_file) - 1)))
        whole_file[at] = data.draw(st.integers(0, 255))
    path.write_bytes(whole_file[: data.draw(st.sampled_from([None, -1, len(whole_file) // 2]))])
    with pytest.raises(CheckpointError):  # whatever is still readable has other shapes
        read_foreign(path, parts_of("sd1"))
