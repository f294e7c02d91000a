"""What a base does not read or does not know of a text, said before the text is used."""

from tav.bases.parts import BaseParts
from tav.errors import SettingsError
from tavcli.commands.console import Output


def warn_of_cut_text(parts: BaseParts, out: Output, texts: list[str]) -> None:
    """Warn of each text that is longer than the base reads, with what is cut."""
    from tav.bases.text import context_length, load_tokenizer, text_that_is_cut

    tokenizer = load_tokenizer(parts)
    for text in dict.fromkeys(texts):
        if cut := text_that_is_cut(tokenizer, context_length(parts, tokenizer), text):
            out.warn(f"the text encoder reads only the start of “{text[:40]}...”; cut: “{cut}”")


def warn_of_unknown_words(parts: BaseParts, out: Output, texts: list[str], taught: str = "") -> None:
    """Warn once of each word that the base was not trained on, if it says which ones it was.

    A spare word means something once it stands in the caption that was tuned: `taught`.
    """
    if parts.lexicon is None:
        return
    text = "\n".join(texts)
    for word, near in parts.lexicon.unknown_words(text):
        names = ", ".join(f'"{one}"' for one in near)
        out.warn(f'the base does not know "{word}"' + (f" (nearest: {names})" if near else ""))
    for word in parts.lexicon.spare_words(text):
        if word not in parts.lexicon.spare_words(taught):
            out.warn(f'"{word}" is a spare word of the base: it means nothing until something is tuned under it')


def refuse_odd_texts(prompts: list[str], negative: str | None) -> None:
    """Raise SettingsError for prompts that say nothing, or are no text."""
    for prompt in prompts:
        if not prompt.strip():
            raise SettingsError("an empty prompt", "say what the new video shows")
    if not all(_is_text(text) for text in (*prompts, negative or "")):
        raise SettingsError("a prompt is not UTF-8 text", "check the terminal's encoding")


def _is_text(argument: str) -> bool:
    """Bytes that are no UTF-8 come from the command line as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in argument)
