"""A paragraph to its sentences: the places where a pair of texts may be cut in two.

A pair's "sentences" are spans of text, usually longer than one sentence (BERT, appendix A.2), so nothing depends on
finding every end. A short rule is enough: an end is a full stop, a question or an exclamation mark, closing quotes and
brackets, then a space, then something that can begin a sentence; not after an initial or a common abbreviation.
Chinese and Japanese full stops need no space behind them.
"""

from __future__ import annotations

import re

__all__ = ["split_sentences"]

_ABBREVIATIONS = (
    "Mr Mrs Ms Messrs Mme Mlle M Dr Prof Rev Hon St Sr Jr Gen Col Capt Lt Sgt Maj Gov Sen Rep Pres "
    "Ave Mt Ft Nos vol vols p pp ch cf vs viz etc e.g i.e al ed Jan Feb Mar Apr Aug Sept Oct Nov Dec"
)
_CLOSERS = "\"'”’»)\\]}_*"
_OPENERS = "\"'“‘«(\\[{_*—\\-"
_END = re.compile(
    # Possessive, and not from the middle of a run: a thousand dots are looked at once, not a thousand times.
    rf"(?<![.!?…])(?P<mark>[.!?…]++)[{_CLOSERS}]*+\s++(?=[{_OPENERS}\s]*+[^\W_a-z])|(?P<full>[。！？]++[”’」』）]*+)\s*+",
)
_NO_END = re.compile(  # an initial or an abbreviation; "so did I." is an end
    rf"(?<!\w)(?:[^\W\d_I]|{_ABBREVIATIONS.replace('.', '[.]').replace(' ', '|')})\Z"
)


def split_sentences(paragraph: str) -> list[str]:
    """The sentences of a paragraph, without the spaces between them; none of an empty one."""
    sentences: list[str] = []
    start = 0
    for match in _END.finditer(paragraph):
        mark = match.group("mark")
        if mark == "." and _NO_END.search(paragraph, max(0, match.start() - 8), match.start()):
            continue
        sentences.append(paragraph[start : match.end()].strip())
        start = match.end()
    sentences.append(paragraph[start:].strip())
    return [sentence for sentence in sentences if sentence]
