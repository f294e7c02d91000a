"""What a user has set for all workspaces: `config.toml` in the user's configuration folder."""

from pydantic import Field

from tav.errors import SettingsError
from tav.settings import Settings, parse
from tavcli.home import config_folder
from tavcli.settings import read_toml

USUAL_BASE = "stable-diffusion-v1-5/stable-diffusion-v1-5"


class UserSettings(Settings):
    """All of it optional."""

    base: str | None = Field(default=None, description="the base of new workspaces")


def default_base() -> str:
    """The base of a workspace where none is named: the user's, else Stable Diffusion 1.5 if it is on this machine.

    Raises SettingsError when there is neither.
    """
    from tav.bases.catalog import cached_bases

    path = config_folder() / "config.toml"
    if path.is_file() and (base := parse(UserSettings, read_toml(path), str(path)).base):
        return base
    if any(cached.name == USUAL_BASE for cached in cached_bases()):
        return USUAL_BASE
    raise SettingsError(
        "no base chosen, and the usual one is not on this machine",
        f"--base FOLDER takes a Stable Diffusion folder; `tav bases fetch {USUAL_BASE}` downloads the usual one",
    )
