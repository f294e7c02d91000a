"""Whatever the files are called or cut into, the same networks come out; and never one with a random weight."""

import contextlib
import json
import logging
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tav.bases import Base, inspect_base, load_base, load_text, load_unet, load_vae
from tav.bases.library_logging import quiet
from tav.errors import BaseModelError

PARTS = ("unet", "vae", "text_encoder")
OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@pytest.fixture
def base(tiny_base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))


@pytest.fixture(scope="module")
def loaded(tiny_base: Path) -> Base:
    return load_base(tiny_base)


def stem(part: str, kind: str) -> str:
    return (
        "diffusion_pytorch_model" if part != "text_encoder" else "model" if kind == "safetensors" else "pytorch_model"
    )


def weights_file(folder: Path, part: str) -> Path:
    return folder / part / f"{stem(part, 'safetensors')}.safetensors"


def take_weights(folder: Path, part: str) -> dict[str, Tensor]:
    weights = load_file(weights_file(folder, part))
    weights_file(folder, part).unlink()
    return weights


def as_fp16(folder: Path, part: str) -> None:
    weights = {name: tensor.half() for name, tensor in take_weights(folder, part).items()}
    save_file(weights, folder / part / f"{stem(part, 'safetensors')}.fp16.safetensors")


def as_bin(folder: Path, part: str) -> None:
    torch.save(take_weights(folder, part), folder / part / f"{stem(part, 'bin')}.bin")


def as_old_bin(folder: Path, part: str) -> None:
    path = folder / part / f"{stem(part, 'bin')}.bin"
    torch.save(take_weights(folder, part), path, _use_new_zipfile_serialization=False)


def as_fp16_bin(folder: Path, part: str) -> None:
    weights = {name: tensor.half() for name, tensor in take_weights(folder, part).items()}
    torch.save(weights, folder / part / f"{stem(part, 'bin')}.fp16.bin")


def as_shards(folder: Path, part: str) -> None:
    weights = take_weights(folder, part)
    names, file = sorted(weights), stem(part, "safetensors")
    halves = {f"{file}-00001-of-00002.safetensors": names[::2], f"{file}-00002-of-00002.safetensors": names[1::2]}
    for shard, held in halves.items():
        save_file({name: weights[name] for name in held}, folder / part / shard)
    weight_map = {name: shard for shard, held in halves.items() for name in held}
    (folder / part / f"{file}.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def same(one: nn.Module, other: nn.Module, half: bool = False) -> None:
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        want = theirs[name].half().float() if half and theirs[name].is_floating_point() else theirs[name]
        assert tensor.equal(want), name


def refusal(folder: Path) -> str:
    with pytest.raises(BaseModelError) as caught:
        load_base(folder)
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("spelling", [as_fp16, as_bin, as_old_bin, as_fp16_bin, as_shards])
def test_every_spelling_gives_the_same_networks(base: Path, loaded: Base, spelling) -> None:
    for part in PARTS:
        spelling(base, part)
    again = load_base(base)
    for part in PARTS:
        same(getattr(again, part), getattr(loaded, part), half=spelling in (as_fp16, as_fp16_bin))


def test_it_equals_what_the_libraries_load(golden: Path) -> None:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    folder = golden / "sd1" / "base"
    ours = load_base(folder)
    for part, kind in zip(PARTS, (UNet2DConditionModel, AutoencoderKL, CLIPTextModel), strict=True):
        same(getattr(ours, part), kind.from_pretrained(folder / part, local_files_only=True))


def test_networks_are_frozen_typed_and_in_evaluation_mode(tiny_base: Path) -> None:
    base = load_base(str(tiny_base), dtype=torch.bfloat16)
    for part in PARTS:
        model = getattr(base, part)
        assert not any(module.training for module in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
        assert {tensor.device.type for tensor in [*model.parameters(), *model.buffers()]} == {"cpu"}
    assert base.path == tiny_base.resolve()
    assert base.schedule.prediction_type == "epsilon"


def test_prediction_type_comes_from_the_scheduler(tmp_path: Path, make_tiny_base) -> None:
    assert load_base(make_tiny_base(tmp_path / "v", "v_prediction")).schedule.prediction_type == "v_prediction"


def test_parts_load_one_by_one(tiny_base: Path, loaded: Base) -> None:
    parts = inspect_base(tiny_base)
    same(load_unet(parts), loaded.unet)
    same(load_vae(parts), loaded.vae)
    same(load_text(parts)[1], loaded.text_encoder)


def test_weights_are_not_tied_to_their_files(base: Path, loaded: Base) -> None:
    again = load_unet(inspect_base(base))
    weights_file(base, "unet").write_bytes(b"\0" * weights_file(base, "unet").stat().st_size)
    same(again, loaded.unet)


def test_old_attention_names_in_a_vae(base: Path, loaded: Base) -> None:
    def old(name: str) -> str:
        found = re.fullmatch(r"(.*mid_block\.attentions\.0)\.(to_q|to_k|to_v|to_out\.0)\.(weight|bias)", name)
        return f"{found[1]}.{OLD_ATTENTION[found[2]]}.{found[3]}" if found else name

    renamed = {old(name): tensor for name, tensor in take_weights(base, "vae").items()}
    assert sum("proj_attn" in name for name in renamed) == 4
    save_file(renamed, weights_file(base, "vae"))
    same(load_base(base).vae, loaded.vae)


@pytest.mark.parametrize("part", PARTS)
def test_a_lacking_weight_is_an_error(base: Path, part: str) -> None:
    weights = take_weights(base, part)
    weights.pop(sorted(weights)[0])
    save_file(weights, weights_file(base, part))
    assert f"{weights_file(base, part)} lacks" in refusal(base)


@pytest.mark.parametrize("part", PARTS)
def test_a_weight_of_another_shape_is_an_error(base: Path, part: str) -> None:
    weights = take_weights(base, part)
    name = sorted(weights)[0]
    weights[name] = torch.zeros(*weights[name].shape, 2)
    save_file(weights, weights_file(base, part))
    assert f"{weights_file(base, part)} has another shape of" in refusal(base)


def test_superfluous_weights_are_not(base: Path, loaded: Base) -> None:
    weights = take_weights(base, "text_encoder") | {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    save_file(weights, weights_file(base, "text_encoder"))
    same(load_base(base).text_encoder, loaded.text_encoder)


@pytest.mark.parametrize("part", PARTS)
def test_damaged_files(base: Path, part: str) -> None:
    path = weights_file(base, part)
    whole = path.read_bytes()
    for damaged in (b"", b"nonsense", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        assert str(path) in refusal(base)
    path.unlink()
    pickled = base / part / f"{stem(part, 'bin')}.bin"
    for damaged in (b"", b"nonsense", b"PK\x03\x04 not a zip"):
        pickled.write_bytes(damaged)
        assert str(pickled) in refusal(base)


class Malicious:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self):
        return os.mkdir, (str(self.victim),)


@pytest.mark.parametrize("new_format", [True, False])
def test_code_in_a_pickle_is_not_run(base: Path, tmp_path: Path, new_format: bool) -> None:
    victim = tmp_path / "created"
    weights = take_weights(base, "unet") | {"extra": Malicious(victim)}
    path = base / "unet" / "diffusion_pytorch_model.bin"
    torch.save(weights, path, _use_new_zipfile_serialization=new_format)
    assert f"cannot read {path}: it holds more than weights" in refusal(base)
    path.write_bytes(pickle.dumps(Malicious(victim)))
    assert str(path) in refusal(base)
    assert not victim.exists()
    pickle.loads(path.read_bytes())
    assert victim.exists(), "the test's pickle would not have done anything"


def test_a_pickle_of_something_else(base: Path) -> None:
    take_weights(base, "vae")
    for held in ([1, 2], {"state_dict": {"a": torch.zeros(1)}}):
        torch.save(held, base / "vae" / "diffusion_pytorch_model.bin")
        assert "not a plain table of tensors" in refusal(base)


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("unet", {"block_out_channels": [16]}),
        ("unet", {"norm_num_groups": 7}),
        ("unet", {"attention_head_dim": "many"}),
        ("text_encoder", {"num_attention_heads": "many"}),
        ("text_encoder", {"hidden_act": "unheard_of"}),
    ],
)
def test_a_config_that_builds_nothing(base: Path, part: str, changes: dict[str, Any]) -> None:
    path = base / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert f"no network can be built from {path}" in refusal(base)


def test_a_tokenizer_of_another_base(base: Path) -> None:
    path = base / "tokenizer" / "vocab.json"
    vocabulary = json.loads(path.read_text())
    path.write_text(json.dumps(vocabulary | {"surplus</w>": len(vocabulary)}))
    assert "of different bases" in _hint(base)
    path.write_text("nonsense")
    assert f"cannot read the tokenizer in {base / 'tokenizer'}" in refusal(base)


def _hint(folder: Path) -> str:
    with pytest.raises(BaseModelError) as caught:
        load_base(folder)
    return caught.value.hint


def test_a_tokenizer_of_one_new_file(base: Path, loaded: Base) -> None:
    shutil.rmtree(base / "tokenizer")
    loaded.tokenizer.save_pretrained(base / "tokenizer")
    assert not (base / "tokenizer" / "vocab.json").exists()
    prompt = "A man, who's skiing"
    assert load_base(base).tokenizer(prompt).input_ids == loaded.tokenizer(prompt).input_ids


def test_loading_says_nothing(base: Path) -> None:
    code = "import sys; from tav.bases import load_base; load_base(sys.argv[1]); print('done')"
    config = base / "unet" / "config.json"
    # An option that the installed diffusers does not know makes it talk.
    config.write_text(json.dumps(json.loads(config.read_text()) | {"no_such_option": 1}))
    done = subprocess.run([sys.executable, "-c", code, str(base)], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


def test_the_silence_ends() -> None:
    from diffusers.utils import logging as diffusers
    from transformers.utils import logging as transformers

    before = [(talk.get_verbosity(), talk.is_progress_bar_enabled()) for talk in (diffusers, transformers)]
    with contextlib.suppress(KeyError), quiet():
        assert diffusers.get_verbosity() == transformers.get_verbosity() == logging.CRITICAL
        raise KeyError
    assert before == [(talk.get_verbosity(), talk.is_progress_bar_enabled()) for talk in (diffusers, transformers)]
