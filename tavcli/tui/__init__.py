"""The terminal application: `launch` opens it here, `web` in a browser."""
