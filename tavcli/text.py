"""Text of any origin, made printable: no character of it acts on a terminal."""


def printable(text: str) -> str:
    """`text` on one line, with what does not print spelled out."""
    return "".join(map(escaped, text))


def escaped(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
