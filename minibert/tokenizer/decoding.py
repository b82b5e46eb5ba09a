"""From tokens back to text. Spaces were not kept, so this is a guess that reads well, the same guess as everybody's."""

from __future__ import annotations

from collections.abc import Iterable

from minibert.tokenizer.wordpiece import CONTINUES

# Spaces that English does not write, and the order in which they go.
_MARKS = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"))
_CLITICS = ((" n't", "n't"), (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))


def join(tokens: Iterable[str]) -> str:
    """Glue "##" pieces to what is before them, put a space before every other token but closing punctuation."""
    parts: list[str] = []
    for token in tokens:
        if not parts:
            parts.append(clean_up(token))
        elif token.startswith(CONTINUES):
            parts.append(clean_up(token.removeprefix(CONTINUES)))
        else:
            parts.append(clean_up(" " + token))
    return "".join(parts)


def clean_up(text: str) -> str:
    """Remove the spaces before punctuation and in contractions: "it 's here ." -> "it's here."."""
    for spaced, closed in _MARKS + _CLITICS:
        text = text.replace(spaced, closed)
    return text
