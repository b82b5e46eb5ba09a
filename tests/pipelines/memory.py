"""Memory over many calls: `python -m tests.pipelines.memory [--calls 10000]`, or `make memory`.

Every pipeline and the sentence encoder answer as many calls as asked for, with words out of `WORDS`, which the
tokenizer's cache has soon seen. After a tenth of the calls memory must have settled: from there to the end the resident
set may grow by less than `ALLOWED_MB`.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minibert import SentenceEncoder
from minibert.pipelines import (
    FeatureExtractionPipeline,
    FillMaskPipeline,
    NextSentencePipeline,
    QuestionAnsweringPipeline,
    TextClassificationPipeline,
    TokenClassificationPipeline,
)
from tests.pipelines import checkpoints

WORDS = 500
ALLOWED_MB = 1.0
"""A page here and there; 100 bytes a call would be as much."""


def resident_mb() -> float:
    """The resident set of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def calls() -> dict[str, Callable[[str], Any]]:
    """A call of one text for each task, on tiny models."""
    tokenizer = checkpoints.tokenizer()
    unmask = FillMaskPipeline(checkpoints.model("mlm"), tokenizer)
    features = FeatureExtractionPipeline(checkpoints.model("encoder"), tokenizer)
    follows = NextSentencePipeline(checkpoints.model("next"), tokenizer)
    classify = TextClassificationPipeline(checkpoints.model("classes"), tokenizer)
    tag = TokenClassificationPipeline(checkpoints.model("tokens"), tokenizer, aggregation_strategy="average", stride=4)
    ask = QuestionAnsweringPipeline(checkpoints.model("answers"), tokenizer)
    encoder = SentenceEncoder(checkpoints.model("encoder"), tokenizer=tokenizer)
    return {
        "fill-mask": lambda text: unmask(f"{text} [MASK]"),
        "feature-extraction": lambda text: features([text, "a"]),
        "next-sentence": lambda text: follows((text, "the cat sat")),
        "text-classification": lambda text: classify(iter([text])),
        "token-classification": tag,
        "question-answering": lambda text: ask("who ?", text, top_k=3),
        "encode and search": lambda text: encoder.search(text, ["a", "the cat"]),
        "failures": lambda text: features([None, text], errors="return"),
    }


def settled_and_end(call: Callable[[str], Any], count: int) -> tuple[float, float]:
    """The resident set in MB after a tenth of `count` calls, and after all of them."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghij", k=8)) for _ in range(min(WORDS, count // 20))]
    settled = 0.0
    for k in range(count):
        call(f"the {rng.choice(words)} sat in berlin , wolfgang")
        if k == count // 10:
            gc.collect()
            settled = resident_mb()
    gc.collect()
    return settled, resident_mb()


def main() -> int:
    """Print a table; 1 if a pipeline's memory grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    count = parser.parse_args().calls
    grown = False
    print(f"{'':<22}{'settled':>12}{'after ' + str(count):>14}{'growth':>10}   MB resident")
    for name, call in calls().items():
        settled, end = settled_and_end(call, count)
        grown = grown or end - settled > ALLOWED_MB
        print(f"{name:<22}{settled:>12.1f}{end:>14.1f}{end - settled:>10.1f}", flush=True)
    return int(grown)


if __name__ == "__main__":
    sys.exit(main())
