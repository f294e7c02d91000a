"""The gallery in a real browser: it plays, its comparison is in step, its filter filters, its texts do nothing.

Every frame of every clip here is as bright as its number says, so that what a pane shows can be read off it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from waiting import wait_for

from tav.video import write_video
from tavcli.workspace.annotations import Marks, write_marks
from tavcli.workspace.edits import claim
from tavcli.workspace.fingerprint import digest
from tavcli.workspace.folder import Workspace
from tavcli.workspace.scores import write_scores

FRAMES, RATE = 24, 12
DARKEST, STEP = 20, 9  # brightness of the first frame, and from one to the next
HOSTILE = '<script>alert(1)</script>"><img src=x onerror="alert(2)">'
PROMPTS = ["a panda is skiing", "a robot is skiing", "a panda is running", HOSTILE, "a cat is skiing"]
MARKS = {1: Marks(True, ("good",)), 3: Marks(False, ("bad", "good")), 5: Marks(True, ())}
SCORES = {1: 3.0, 2: 1.0, 5: 2.0}
RECIPE: dict[str, Any] = {
    "guidance_scale": 3.0,
    "negative_prompt": "",
    "vary": 0.0,
    "seed": 0,
    "inversion": True,
    "steps": 4,
    "caption": "a man is skiing",
    "precision": "fp32",
    "tuned": {"key": "0123456789ab"},
    "inverted": {},
}
# The frame that a video shows, by its brightness; of all videos of the comparison.
SEEN = """
return [...document.querySelectorAll("dialog video")].map((video) => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d");
  canvas.drawImage(video, 0, 0, 1, 1);
  return Math.round((canvas.getImageData(0, 0, 1, 1).data[1] - arguments[0]) / arguments[1]);
})"""
# In how many rounds the comparison was when all videos had been in step for some drawn frames without a break.
IN_STEP = """
const [frames, rounds, apart, done] = arguments, videos = [...document.querySelectorAll("dialog video")];
let before = 0, begun = 0, steady = 0;
function look() {
  const now = videos.map((video) => video.currentTime);
  begun += now[0] < before;
  before = now[0];
  steady = Math.max(...now) - Math.min(...now) < apart && videos.every((video) => !video.paused) ? steady + 1 : 0;
  steady >= frames && begun >= rounds ? done(begun) : requestAnimationFrame(look);
}
look();"""
SPEED = "const s = document.querySelector('#speed'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))"


def clip(path: Path) -> Path:
    brightness = DARKEST + STEP * np.arange(FRAMES, dtype=np.uint8)
    write_video(path, np.broadcast_to(brightness[:, None, None, None], (FRAMES, 48, 64, 3)), RATE)
    return path


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, done: Callable[..., Any], tiny_base: Path) -> Path:
    """The page of a workspace with an edit for each of PROMPTS."""
    folder = tmp_path_factory.mktemp("gallery")
    size = ["--size", "64x48", "--frames", FRAMES]
    done(folder, "init", clip(folder / "clip.mp4"), "w", "--caption", RECIPE["caption"], "--base", tiny_base, *size)
    workspace = Workspace(folder / "w")
    log = "".join(f'{{"step": {n}, "loss": {1 / n}}}\n' for n in range(1, 99))
    (workspace.tuned / RECIPE["tuned"]["key"]).mkdir(parents=True)
    (workspace.tuned / RECIPE["tuned"]["key"] / "steps.jsonl").write_text(log)
    made_from = {"source": digest(folder / "w" / "source.mp4"), "frames": FRAMES, "stride": 1, "size": [64, 48]}
    for number, prompt in enumerate(PROMPTS, 1):
        edit = claim(workspace, {"prompt": prompt, **RECIPE, "clip": made_from})
        clip(edit.video)
        write_marks(edit.folder, MARKS.get(number, Marks()))
        write_scores(edit.folder, {"text_faithfulness": SCORES[number]} if number in SCORES else {})
    done(folder / "w", "gallery")
    return folder / "w" / "gallery.html"


class OpenPage:
    """The open page."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def __call__(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def numbers(self) -> list[int]:
        """Of the cards that are shown, as they stand."""
        return [int(card.get_attribute("data-number")) for card in self.all(".card") if card.is_displayed()]

    def compare(self, *numbers: int) -> None:
        for number in numbers:
            self("arguments[0].scrollIntoView({block: 'center'})", self.one(f"#edit-{number} .choose"))
            self.one(f"#edit-{number} .choose input").click()
        self.one("#compare").click()
        wait_for(lambda: self.one("#play").text == "Pause")

    def in_step(self, rounds: int, first: str = "") -> int:
        """Wait until all videos of the comparison play in step and have begun again so often; how often they have.

        `first` is done before.
        """
        return self.driver.execute_async_script(f"{first};{IN_STEP}", 10, rounds, 0.5 / RATE)

    def rests_at(self) -> int | None:
        """The one frame that every video of the comparison shows, at the same time of each; None if they do not."""
        times = self("return [...document.querySelectorAll('dialog video')].map(v => v.seeking ? null : v.currentTime)")
        seen = self(SEEN, DARKEST, STEP)
        still = None not in times and max(times) - min(times) < 0.5 / RATE
        return seen[0] if still and set(seen) == {min(int(times[0] * RATE), FRAMES - 1)} else None


@pytest.fixture
def page(browser: Any, gallery: Path) -> Iterator[OpenPage]:
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", window(1280, 1400))
    browser.get(gallery.as_uri())
    yield OpenPage(browser)
    said = [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    assert said == []


def window(width: int, height: int) -> dict[str, Any]:
    return {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}


def test_every_video_plays(page: OpenPage) -> None:
    assert len(page.all("video")) == 1 + len(PROMPTS)
    for video in page.all("video"):
        page("arguments[0].scrollIntoView({block: 'center'})", video)
        wait_for(lambda video=video: page("return arguments[0].readyState >= 3", video))
        before = page("return arguments[0].currentTime", video)
        wait_for(lambda video=video, before=before: page("return arguments[0].currentTime", video) != before)
    page.one("#motion").click()
    wait_for(lambda: page("return [...document.querySelectorAll('video')].every(v => v.paused)"))


def test_what_is_not_on_the_screen_does_not_play(page: OpenPage) -> None:
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", window(390, 600))
    page("document.querySelector('#edit-5').scrollIntoView()")
    wait_for(lambda: page("return !document.querySelector('#edit-5 video').paused"))
    wait_for(lambda: page("return document.querySelector('#source video').paused"))


def test_a_comparison_is_in_step_while_it_plays(page: OpenPage) -> None:
    page.compare(1, 2, 3)
    assert len(page.all("dialog video")) == 4
    assert page.in_step(rounds=0) >= 0
    assert page.in_step(rounds=2) >= 2  # they got to the end, and began again
    page.one("#play").click()
    wait_for(lambda: page.rests_at() is not None)


@pytest.mark.parametrize("mishap", ["one.currentTime = 1.9", "one.currentTime = 0", "one.pause()"])
def test_what_falls_out_of_step_is_brought_back(page: OpenPage, mishap: str) -> None:
    """And that before all begin again; a machine that is too slow for that gets another round."""
    page.compare(1, 2)
    wait_for(lambda: page("return document.querySelector('dialog video').currentTime > 0.3"))
    page(SPEED, "0.25")
    wait_for(lambda: page.in_step(0, f"const one = document.querySelectorAll('dialog video')[1]; {mishap}") == 0)


def test_scrubbing_and_steps_show_the_same_frame_of_each(page: OpenPage) -> None:
    page.compare(1, 5)
    wait_for(lambda: page("return document.querySelector('dialog video').currentTime > 0.3"))
    for frame in (17, 3, FRAMES - 1, 8):
        scrub = (
            "const s = document.querySelector('#scrub'); s.value = arguments[0]; s.dispatchEvent(new Event('input'))"
        )
        page(scrub, frame)
        wait_for(lambda frame=frame: page.rests_at() == frame)
    assert page.one("#where").text.startswith("frame 9 of 24")
    for key, frame in [("\ue014", 9), ("\ue014", 10), ("\ue012", 9), ("\ue010", 23), ("\ue014", 23), ("\ue011", 0)]:
        page.press(key)
        wait_for(lambda frame=frame: page.rests_at() == frame)
    page.one("#on").click()
    wait_for(lambda: page.rests_at() == 1)
    assert page.one("#play").text == "Play"


def test_keys_play_pause_and_close(page: OpenPage) -> None:
    page.compare(2)
    page.press(" ")
    wait_for(lambda: page.one("#play").text == "Play" and page.rests_at() is not None)
    page.press(" ")
    wait_for(lambda: page("return [...document.querySelectorAll('dialog video')].every(v => !v.paused)"))
    page.press("\ue00c")  # Escape
    wait_for(lambda: not page.one("dialog").is_displayed())
    assert page.all("dialog video") == []
    wait_for(lambda: page("return !document.querySelector('#edit-1 video').paused"))


def test_the_speed_is_that_of_all(page: OpenPage) -> None:
    page.compare(1, 2)
    page(SPEED, "0.25")
    page.in_step(rounds=0)
    # What is a little off is caught up with by up to a fifth more or less.
    rates = page("return [...document.querySelectorAll('dialog video')].map((video) => video.playbackRate)")
    assert all(0.2 <= rate <= 0.3 for rate in rates)


def test_three_edits_are_the_most(page: OpenPage) -> None:
    for number in (1, 2, 3):
        page.one(f"#edit-{number} .choose input").click()
    assert not page.one("#edit-4 .choose input").is_enabled()
    assert "3 is the most" in page.one("#tray").text
    page.one("#with-source").click()
    page.one("#compare").click()
    assert len(page.all("dialog video")) == 3
    page.one("#close").click()
    page.one("#forget").click()
    assert not page.one("#tray").is_displayed()
    assert page.one("#edit-4 .choose input").is_enabled()


def test_a_click_on_a_video_compares_it_with_the_source(page: OpenPage) -> None:
    page.one("#edit-5 .look").click()
    assert [one.text.split() for one in page.all("dialog figcaption")] == [
        ["Source", "a", "man", "is", "skiing"],
        ["5", "a", "cat", "is", "skiing"],
    ]


def test_it_filters_by_words_tags_and_star(page: OpenPage) -> None:
    words = page.one("#words")
    for typed, left in [("PANDA", [1, 3]), (" skiing", [1]), ("zebra", [])]:
        words.send_keys(typed)
        assert page.numbers() == left
    assert page.one("#count").text == "0 of 5 edits"
    page.one("#clear").click()
    assert page.numbers() == [1, 2, 3, 4, 5]
    words.send_keys("#good")
    assert page.numbers() == [1, 3]
    words.clear()
    page.one("[data-tag=good]").click()
    assert page.numbers() == [1, 3]
    page.one("[data-tag=bad]").click()
    assert page.numbers() == [3]
    page.one("[data-tag=bad]").click()
    page.one("#starred").click()
    assert page.numbers() == [1]
    page.one("[data-tag=good]").click()
    assert page.numbers() == [1, 5]


def test_it_sorts_by_number_and_score(page: OpenPage) -> None:
    page.one("#order").click()
    assert page.numbers() == [5, 4, 3, 2, 1]
    page.one("#sort [data-score]").click()
    assert page.numbers() == [1, 5, 2, 3, 4]
    page.one("#order").click()
    assert page.numbers() == [2, 5, 1, 3, 4]


def test_a_hostile_prompt_stays_text(page: OpenPage) -> None:
    page.one("#edit-4 .look").click()
    shown = [*page.all("#edit-4 h2"), *page.all("dialog .pane:last-child figcaption")]
    assert [one.get_attribute("textContent") for one in shown] == [HOSTILE, f"4 {HOSTILE}"]
    page.one("#close").click()
    page.one("#words").send_keys("<script>")
    assert page.numbers() == [4]
    assert page.all("img") == []
    assert len(page.all("script")) == 1  # and a dialog would have failed any of this


def test_all_of_it_is_within_a_phone(page: OpenPage) -> None:
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", window(360, 740))
    within = """return document.documentElement.scrollWidth <= innerWidth && [...arguments].every((one) => {
      const {left, right} = one.getBoundingClientRect(); return left >= 0 && right <= innerWidth})"""
    wait_for(lambda: page(within, *page.all(".card, .top *, .tools *, .card h2")))
    page.compare(1, 2, 3)
    wait_for(lambda: page(within, *page.all("dialog .pane, dialog video, dialog button, dialog input, dialog select")))
    bottom = page("return Math.max(...[...arguments].map(one => one.getBoundingClientRect().bottom)) <= innerHeight",
                  *page.all("dialog video, dialog button, dialog input"))  # fmt: skip
    assert bottom
