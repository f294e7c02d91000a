"""Small still pictures in half cells: two pixels in one character, `▀` in the upper one's colour on the lower one's."""

from itertools import groupby
from pathlib import Path

from PIL import Image
from textual import work
from textual.color import Color
from textual.content import Content
from textual.reactive import reactive
from textual.style import Style
from textual.widget import Widget

from tavcli.tui.data.thumbnails import picture_of
from tavcli.tui.threads import in_thread

Pixel = tuple[int, int, int]


def half_cells(picture: Image.Image, width: int, height: int) -> list[Content]:
    """An RGB picture as `height` lines, at most `width` cells wide and as large as fits; centred from top to bottom."""
    scale = min(width / picture.width, 2 * height / picture.height)
    size = max(1, round(picture.width * scale)), max(2, round(picture.height * scale / 2) * 2)
    pixels = picture.resize(size, Image.Resampling.LANCZOS)
    rows = [[pixels.getpixel((x, y)) for x in range(size[0])] for y in range(size[1])]
    above = (height - size[1] // 2) // 2
    lines = [_line(list(zip(*rows[y : y + 2], strict=True))) for y in range(0, size[1], 2)]
    blank = Content(" " * size[0])
    return [*[blank] * above, *lines, *[blank] * (height - above - len(lines))]


def _line(cells: list[tuple[Pixel, Pixel]]) -> Content:
    """A line of cells; equal neighbours share one style."""
    runs = ((len(list(run)), upper, lower) for (upper, lower), run in groupby(cells))
    return Content.assemble(*(("▀" * count, Style(Color(*lower), Color(*upper))) for count, upper, lower in runs))


class Thumbnail(Widget):
    """The first picture of a file, as large as the widget; empty if there is none."""

    DEFAULT_CSS = "Thumbnail { width: 1fr; height: auto; min-height: 1; }"

    path: reactive[Path | None] = reactive(None)

    def __init__(self, path: Path | None = None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._picture: Image.Image | None = None
        self.set_reactive(Thumbnail.path, path)

    def on_mount(self) -> None:
        self.watch_path(self.path)

    @work(exclusive=True)
    async def watch_path(self, path: Path | None) -> None:
        self._picture = await in_thread(picture_of, path) if path is not None else None
        self.refresh(layout=True)

    def get_content_height(self, _container: object, _viewport: object, width: int) -> int:
        if self._picture is None:
            return 1
        return max(1, round(self._picture.height * width / self._picture.width / 2))

    def render(self) -> Content:
        width, height = self.content_size
        if self._picture is None or not (width and height):
            return Content()
        return Content("\n").join(half_cells(self._picture, width, height))
