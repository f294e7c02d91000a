"""The main job, from a clip to edited videos, and what the workspace answers on the way."""

import json
import os
import pty
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from tav.video import probe, read_recipe
from tavcli.config.files import read_toml

Call = Callable[..., Any]
STAGES = {"tuned": "attention.safetensors", "inverted": "latents.safetensors"}


def stage_files(folder: Path, stage: str) -> list[Path]:
    return sorted((folder / stage).glob(f"*/{STAGES[stage]}"))


def only_file(folder: Path, stage: str) -> Path:
    (file,) = stage_files(folder, stage)
    return file


def videos(folder: Path) -> dict[str, bytes]:
    """The edits' videos by folder name without the number."""
    return {path.parent.name[5:]: path.read_bytes() for path in folder.glob("edits/*/video.mp4")}


# --- init


@pytest.mark.slow
def test_three_commands_make_a_video(process: Call, clip: Path, tiny_base: Path, tmp_path: Path, settle: Call) -> None:
    """As processes of their own, with nothing else to know."""
    shutil.copy(clip, tmp_path / "ski.mp4")
    said = process(tmp_path, "init", "ski.mp4", "--caption", "a man is skiing", "--base", tiny_base)
    assert (said.code, said.out) == (0, "ski\n"), said.err
    settle(tmp_path / "ski", {"tune": {"steps": 2}, "invert": {"steps": 2}})
    said = process(tmp_path, "tune")
    assert said.code == 0, said.err
    assert (tmp_path / said.out.strip()).name == "attention.safetensors"
    said = process(tmp_path, "edit", "a cat is skiing")
    assert said.code == 0, said.err
    assert "inverting the clip first (not done yet)" in said.err
    assert "reconstruction " in said.err
    assert said.out == "ski/edits/0001-a-cat-is-skiing/video.mp4\n"
    assert probe(tmp_path / said.out.strip()).num_frames == 6
    assert only_file(tmp_path / "ski", "inverted").with_name("sheet.png").is_file()


def test_init_writes_down_what_it_took(initial: Path, clip: Path, tiny_base: Path) -> None:
    toml = read_toml(initial / "tav.toml")
    assert toml["caption"] == "a man is skiing"
    assert toml["base"] == str(tiny_base)
    taken = {"source": "source.mp4", "start": 0.0, "frames": 6, "stride": 1, "size": [32, 32], "fit": "crop"}
    assert toml["clip"] == taken
    assert (initial / "source.mp4").read_bytes() == clip.read_bytes()
    assert (initial / "README.md").is_file()


def test_init_takes_frames_as_told(done: Call, clip: Path, tiny_base: Path, tmp_path: Path) -> None:
    flags = ["--frames", 2, "--start", 0.08, "--stride", 2, "--size", "48x32", "--fit", "letterbox"]
    said = done(tmp_path, "--json", "init", clip, "w", "--caption", "x", "--base", tiny_base, *flags)
    taken = {"start": 0.08, "frames": 2, "stride": 2, "size": [48, 32], "fit": "letterbox"}
    assert said.json().items() >= {**taken, "output_fps": 6.0, "workspace": str(tmp_path / "w")}.items()
    assert read_toml(tmp_path / "w" / "tav.toml")["clip"] == {"source": "source.mp4", **taken}


def on_a_terminal(command: list[str], folder: Path, answer: str) -> tuple[int, str]:
    """Run a command on a terminal where someone answers the first question; returns exit code and screen."""
    child, master = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execv(command[0], command)
    screen, answered = b"", False
    while True:
        try:
            screen += os.read(master, 4096)
        except OSError:  # how Linux says that the other side is gone
            break
        if not answered and b"?" in screen:
            answered = True
            os.write(master, answer.encode())
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), screen.decode()


def test_a_missing_caption_is_asked_for_on_a_terminal(
    tav_command: list[str], clip: Path, tiny_base: Path, tmp_path: Path
) -> None:
    command = [*tav_command, "init", str(clip), "--base", str(tiny_base)]
    code, screen = on_a_terminal(command, tmp_path, "a man is skiing\n")
    assert code == 0, screen
    assert "What does the clip show?" in screen
    assert read_toml(tmp_path / "clip" / "tav.toml")["caption"] == "a man is skiing"


# --- tune


def test_tuning_logs_every_step_and_a_fresh_stage_is_not_made_again(done: Call, tuned: Path, snapshot: Call) -> None:
    folder = only_file(tuned, "tuned").parent
    log = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [1, 2, 3, 4, 5, 6]
    assert all(entry["loss"] > 0 and entry["grad_norm"] > 0 for entry in log)
    before = snapshot(tuned, all_of_it=True)
    said = done(tuned, "tune")
    assert "nothing to do" in said.err
    assert Path(said.out.strip()) == (folder / "attention.safetensors").relative_to(tuned)
    assert snapshot(tuned, all_of_it=True) == before


def test_the_weights_say_what_they_were_made_from(tuned: Path) -> None:
    with safe_open(only_file(tuned, "tuned"), "pt") as file:
        (text,) = file.metadata().values()
    provenance = json.loads(text)["provenance"]
    assert provenance["caption"] == "a man is skiing"
    assert provenance["tune"]["steps"] == 6
    assert provenance["clip"]["frames"] == 6
    assert {"base", "base_name", "precision", "tav", "device"} <= provenance.keys()


def test_more_steps_extend_the_run_and_equal_one_long_run(
    done: Call, initial: Path, tuned: Path, tmp_path: Path, copy_of: Call
) -> None:
    extended = copy_of(tuned)
    long = Path(shutil.copytree(initial, tmp_path / "long" / "clip"))
    said = done(extended, "tune", "--steps", 10)
    assert "tav.toml: tune.steps = 10" in said.err
    assert "going on from step 6" in said.err
    assert "going on" not in done(long, "tune", "--steps", 10).err
    new = next(
        path for path in stage_files(extended, "tuned") if path.parent.name == only_file(long, "tuned").parent.name
    )
    for name in ("attention.safetensors", "steps.jsonl", "state.safetensors", "inputs.json"):
        assert new.with_name(name).read_bytes() == only_file(long, "tuned").with_name(name).read_bytes(), name
    assert len(list(extended.glob("tuned/*/state.safetensors"))) == 1


def test_fresh_starts_again_and_gives_the_same(done: Call, tuned: Path, copy_of: Call) -> None:
    folder = copy_of(tuned)
    weights = only_file(folder, "tuned")
    before, at = weights.read_bytes(), weights.stat().st_mtime_ns
    assert "going on" not in done(folder, "tune", "--fresh").err
    assert weights.stat().st_mtime_ns > at
    assert weights.read_bytes() == before


def test_settings_given_to_tune_are_written_down(done: Call, tuned: Path, copy_of: Call) -> None:
    folder = copy_of(tuned)
    said = done(folder, "tune", "--steps", 1, "--lr", "1e-4", "--scope", "mid_up")
    assert "tav.toml: tune.learning_rate = 0.0001" in said.err
    assert read_toml(folder / "tav.toml")["tune"] == {"steps": 1, "learning_rate": 1e-4, "scope": "mid_up"}
    assert "nothing to do" in done(folder, "tune").err


# --- invert


def test_the_inversion_is_checked_once(done: Call, tuned: Path, copy_of: Call, snapshot: Call) -> None:
    folder = copy_of(tuned)
    assert "reconstruction" not in done(folder, "invert", "--no-check").err
    said = done(folder, "--json", "invert", "--steps", 4)
    assert not only_file(folder, "inverted").with_name("check.json").is_file()
    Path(folder / "tav.toml").write_text((folder / "tav.toml").read_text().replace("check = false", "check = true"))
    said = done(folder, "--json", "invert")
    score = json.loads(only_file(folder, "inverted").with_name("check.json").read_text())
    assert said.json().items() >= {"stage": "inverted", **score}.items()
    assert score["psnr"] > 0
    before = snapshot(folder)
    assert "nothing to do" in done(folder, "invert").err
    assert snapshot(folder) == before


# --- edit


@pytest.mark.slow
def test_an_edit_does_not_depend_on_its_neighbours(done: Call, edited: Path, copy_of: Call) -> None:
    """Two prompts at once equal each alone, byte for byte, and a recipe replays in a copy of the workspace."""
    folder = copy_of(edited)
    shutil.rmtree(folder / "edits")
    said = done(folder, "edit", "a dog is skiing", "a cat is skiing")
    assert said.out.splitlines() == [f"edits/000{n}-a-{it}-is-skiing/video.mp4" for n, it in ((1, "dog"), (2, "cat"))]
    together = videos(folder)
    assert together["a-cat-is-skiing"] == videos(edited)["a-cat-is-skiing"]
    shutil.rmtree(folder / "edits")
    done(folder, "edit", "a dog is skiing")
    assert videos(folder)["a-dog-is-skiing"] == together["a-dog-is-skiing"]
    assert together["a-dog-is-skiing"] != together["a-cat-is-skiing"]


def test_the_same_edit_again_is_no_work(done: Call, edited: Path, snapshot: Call) -> None:
    before = snapshot(edited, all_of_it=True)
    said = done(edited, "edit", "a cat is skiing")
    assert "edit 1 is this very recipe: nothing to do" in said.err
    assert said.out == "edits/0001-a-cat-is-skiing/video.mp4\n"
    assert snapshot(edited, all_of_it=True) == before


def test_the_recipe_is_in_the_video_and_beside_it(edited: Path, tiny_base: Path) -> None:
    folder = edited / "edits" / "0001-a-cat-is-skiing"
    recipe = read_toml(folder / "edit.toml")
    assert read_recipe(folder / "video.mp4") == recipe
    assert recipe["prompt"] == "a cat is skiing"
    assert recipe["tuned"]["key"] == only_file(edited, "tuned").parent.name
    assert recipe["inverted"]["key"] == only_file(edited, "inverted").parent.name
    assert recipe["base"]["name"] == str(tiny_base)
    made = {"edit.toml", "made.json", "scores.json", "sheet.png", "video.mp4"}
    assert {path.name for path in folder.iterdir()} == made


def test_ls_and_show_answer_in_json(done: Call, edited: Path) -> None:
    (row,) = done(edited, "--json", "ls").json()
    assert row.items() >= {"number": 1, "state": "done", "prompt": "a cat is skiing", "start": "inverted"}.items()
    shown = done(edited, "--json", "show", 1).json()
    assert shown.items() >= read_toml(edited / "edits" / "0001-a-cat-is-skiing" / "edit.toml").items()
    assert shown == done(edited, "--json", "show", "0001-a-cat-is-skiing").json()
    state = done(edited, "--json", "show").json()
    assert {name: stage["state"] for name, stage in state["stages"].items()} == dict.fromkeys(STAGES, "fresh")
    assert state["edits"] == {"done": 1, "unfinished": 0}
    assert state["settings"]["tune"]["steps"] == 6


def test_the_command_that_show_prints_makes_the_same_edit(done: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    flags = ["--guidance", 7.123456789, "--vary", 0.123456789, "--seed", 5, "--negative", "it's blurry"]
    done(folder, "edit", *flags, "--", "-- a 'quoted' cat")
    said = done(folder, "show", 2)
    command = shlex.split(said.err.split("to make it again: ")[1])
    assert command[0] == "tav"
    assert "edit 2 is this very recipe" in done(folder, *command[1:]).err


def test_vary_seed_negative_and_guidance_act(done: Call, edited: Path, copy_of: Call, tmp_path: Path) -> None:
    folder = copy_of(edited)
    out = tmp_path / "there" / "cat.mp4"
    for flags in (["--vary", 0.5], ["--vary", 0.5, "--seed", 1], ["--negative", "a dog"], ["--guidance", 3]):
        done(folder, "edit", "a cat is skiing", *flags, "-o", out)
        assert out.read_bytes() == max(folder.glob("edits/*/video.mp4")).read_bytes()
    recipes = [read_toml(path) for path in sorted(folder.glob("edits/*/edit.toml"))]
    assert [(one["vary"], one["seed"], one["negative_prompt"], one["guidance_scale"]) for one in recipes] == [
        (0.0, 0, "", 12.5),
        (0.5, 0, "", 12.5),
        (0.5, 1, "", 12.5),
        (0.0, 0, "a dog", 12.5),
        (0.0, 0, "", 3.0),
    ]
    pictures = {path.with_name("sheet.png").read_bytes() for path in folder.glob("edits/*/video.mp4")}
    assert len(pictures) == 5


def test_no_inversion_makes_none(done: Call, tuned: Path, copy_of: Call) -> None:
    folder = copy_of(tuned)
    said = done(folder, "--json", "edit", "a cat is skiing", "--no-inversion", "--seed", 3)
    assert not (folder / "inverted").exists()
    assert Path(said.json()[0]["video"]).is_file()
    assert done(folder, "--json", "ls").json()[0]["start"] == "noise, seed 3"
    done(folder, "edit", "a cat is skiing", "--no-inversion", "--seed", 4)
    assert len({path.read_bytes() for path in folder.glob("edits/*/sheet.png")}) == 2


def test_other_steps_make_their_inversion_first(done: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    said = done(folder, "edit", "a cat is skiing", "--steps", 3)
    assert "inverting the clip first (what is there is for other settings: steps 4 -> 3)" in said.err
    assert len(stage_files(folder, "inverted")) == 2
    assert read_toml(folder / "tav.toml")["invert"]["steps"] == 4
    assert read_toml(folder / "edits" / "0002-a-cat-is-skiing" / "edit.toml")["steps"] == 3


def test_changed_settings_make_stages_stale_and_edit_says_so(
    done: Call, edited: Path, copy_of: Call, settle: Call
) -> None:
    folder = copy_of(edited)
    settle(folder, {"caption": "someone is skiing"})
    state = done(folder, "--json", "show").json()["stages"]
    assert (state["tuned"]["state"], state["inverted"]["state"]) == ("stale", "stale")
    assert "caption a man is skiing -> someone is skiing" in state["tuned"]["why"]
    said = done(folder, "edit", "a cat is skiing")
    order = ["tuning first (what is there is for other settings: caption", "tuning: 6/6", "inverting", "edit 2: a cat"]
    places = [said.err.index(words) for words in order]
    assert places == sorted(places)
    settle(folder, {"caption": "a man is skiing"})
    assert "edit 1 is this very recipe" in done(folder, "edit", "a cat is skiing").err


def test_one_edit_does_what_the_three_commands_do(
    done: Call, initial: Path, edited: Path, copy_of: Call, results: Call
) -> None:
    """Also that nothing depends on whether an input was computed just now or comes from the cache."""
    folder = copy_of(initial)
    done(folder, "edit", "a cat is skiing")
    assert results(folder) == results(edited)


def test_nothing_depends_on_the_cache(done: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    for name in ("tuned", "inverted", "edits", "cache"):
        shutil.rmtree(folder / name)
    done(folder, "tune")
    weights = only_file(folder, "tuned").read_bytes()
    shutil.rmtree(folder / "tuned")
    done(folder, "tune")
    assert only_file(folder, "tuned").read_bytes() == weights == only_file(edited, "tuned").read_bytes()
    shutil.rmtree(folder / "cache")
    done(folder, "invert")
    assert only_file(folder, "inverted").read_bytes() == only_file(edited, "inverted").read_bytes()
    shutil.rmtree(folder / "cache")
    done(folder, "edit", "a cat is skiing")
    assert videos(folder) == videos(edited)


# --- dry runs, clean


@pytest.mark.parametrize(
    "command",
    [
        ["tune", "--steps", "9"],
        ["tune", "--fresh"],
        ["invert", "--steps", "9"],
        ["edit", "a dog", "a bird", "--steps", "9"],
        ["edit", "a dog", "-o", "x.mp4"],
        ["clean", "--yes"],
        ["show"],
        ["ls"],
    ],
)
@pytest.mark.parametrize("flags", [["--dry-run"], ["--dry-run", "--json"]])
def test_a_dry_run_writes_nothing(
    done: Call, edited: Path, snapshot: Call, command: list[str], flags: list[str]
) -> None:
    before = snapshot(edited, all_of_it=True)
    said = done(edited, *flags, *command)
    assert snapshot(edited, all_of_it=True) == before
    if "--json" in flags:
        said.json()


def test_a_dry_init_writes_nothing(done: Call, clip: Path, tiny_base: Path, tmp_path: Path) -> None:
    said = done(tmp_path, "--dry-run", "--json", "init", clip, "--caption", "x", "--base", tiny_base)
    assert said.json()["frames"] == 6
    assert list(tmp_path.iterdir()) == []


def test_a_dry_edit_tells_the_plan(done: Call, initial: Path, edited: Path) -> None:
    def plan(folder: Path, *more: object) -> list[tuple[str, bool]]:
        said = done(folder, "--json", "--dry-run", "edit", "a dog", *more)
        return [(step["stage"], step.get("run", True)) for step in said.json()]

    assert plan(initial) == [("tune", True), ("invert", True), ("edit", True)]
    assert plan(edited) == [("tune", False), ("invert", False), ("edit", True)]
    assert plan(edited, "--steps", 5) == [("tune", False), ("invert", True), ("edit", True)]
    assert plan(edited, "--no-inversion") == [("tune", False), ("edit", True)]


def test_clean_removes_what_nothing_needs(done: Call, edited: Path, copy_of: Call, settle: Call) -> None:
    folder = copy_of(edited)
    used = [only_file(folder, "tuned"), only_file(folder, "inverted")]
    settle(folder, {"caption": "someone is skiing"})
    done(folder, "tune", "--steps", 1)
    unused = next(path for path in stage_files(folder, "tuned") if path not in used)
    settle(folder, {"tune": {"steps": 2}})
    (folder / "edits" / ".tmp-999999999-abcdef01").mkdir()
    listed = {Path(row["path"]) for row in done(folder, "--json", "clean").json()}
    assert unused.exists()
    assert listed >= {unused.parent, folder / "cache", used[0].with_name("state.safetensors")}
    done(folder, "clean", "--yes")
    assert not unused.exists()
    assert not (folder / "cache").exists()
    assert all(path.is_file() for path in used)
    settle(folder, {"caption": "a man is skiing", "tune": {"steps": 6}})
    assert "edit 1 is this very recipe" in done(folder, "edit", "a cat is skiing").err
    shutil.rmtree(folder / "edits")
    done(folder, "edit", "a cat is skiing")
    assert videos(folder) == videos(edited)
    done(folder, "clean", "--yes")
    assert done(folder, "--json", "clean").json() == []
