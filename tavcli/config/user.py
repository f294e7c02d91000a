"""The settings of a user for all workspaces: `config.toml` in the user's configuration folder."""

from pydantic import Field

from tav.bases.embedded import EMBEDDED
from tav.settings import Settings, parse
from tavcli.config.files import read_toml
from tavcli.config.home import config_folder


class UserSettings(Settings):
    """The user's settings, all optional."""

    base: str = Field(default=EMBEDDED, min_length=1, description="the base of new workspaces")


def default_base() -> str:
    """The base of a workspace for which none is named: the user's, else the embedded one."""
    path = config_folder() / "config.toml"
    return parse(UserSettings, read_toml(path) if path.is_file() else {}, str(path)).base
