"""Clips in, videos out: everything that touches ffmpeg or picture files. Frames are uint8 `(f, h, w, 3)`, RGB."""

from tav.video.audio import cut_sound, has_sound, in_step
from tav.video.fitting import Fit, Rectangle, fit
from tav.video.frame_folder import frame_files
from tav.video.frame_selection import FrameChoice, choose_frames
from tav.video.pillow_writers import resized
from tav.video.probing import ClipInfo, probe
from tav.video.quality import ClipQuality, judge
from tav.video.reading import Clip, read_clip
from tav.video.recipe_metadata import check_recipe, read_recipe
from tav.video.sheet import contact_sheet, first_picture
from tav.video.writing import check_output, write_video

__all__ = [
    "Clip",
    "ClipInfo",
    "ClipQuality",
    "Fit",
    "FrameChoice",
    "Rectangle",
    "check_output",
    "check_recipe",
    "choose_frames",
    "contact_sheet",
    "cut_sound",
    "first_picture",
    "fit",
    "frame_files",
    "has_sound",
    "in_step",
    "judge",
    "probe",
    "read_clip",
    "read_recipe",
    "resized",
    "write_video",
]
