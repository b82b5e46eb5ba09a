"""What may be typed after the commands that ask a model, and after tokenize. Imports nothing heavy."""

from __future__ import annotations

from typing import Any

from minibert.cli.parser import Parser, count, count_or_all, count_or_zero, folder, make_command, model, path, words
from minibert.models import MINI

__all__ = ["add_commands", "add_hub"]

_MINI = f"{MINI}, a small English model that comes with the package and knows the language of old books"


def add_commands(commands: Any) -> None:
    """The seven commands."""
    for add in (_fill_mask, _features, _next_sentence, _classify, _tokens, _answer, _tokenize):
        add(commands)


def add_hub(where: Any) -> None:
    """How names on the hub are read."""
    where.add_argument("--revision", help="branch, tag or commit on the hub")
    where.add_argument("--cache-dir", type=folder, metavar="DIR", help="where files from the hub are kept")
    where.add_argument("--offline", action="store_true", help="use what the cache has, download nothing")


def _model(parser: Parser, *, default: str = _MINI) -> None:
    """Where a model comes from, with the bundled one as the default; `default` describes it."""
    where = parser.add_argument_group("the model")
    about = f"a folder, or a name on the hub; without it, {default}"
    where.add_argument("--model", "-m", type=model, default=MINI, help=about)
    add_hub(where)


def _fine_tuned_model(parser: Parser, example: str) -> None:
    """The same for a task that the bundled model has no head for; `example` is a model on the hub that has."""
    where = parser.add_argument_group("the model")
    about = f"a folder, or a name on the hub, of a model that was fine-tuned for this, such as {example}"
    where.add_argument("--model", "-m", type=model, help=about)
    parser.set_defaults(example_model=example)
    add_hub(where)


def _compute(parser: Parser) -> None:
    """How it computes."""
    how = parser.add_argument_group("computing")
    how.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="precision (float32)")
    how.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where (cpu)")
    how.add_argument("--batch-size", type=count, default=32, metavar="N", help="texts at once (32)")
    how.add_argument("--truncate", action="store_true", help="cut texts that are too long instead of refusing them")


def _texts(parser: Parser, metavar: str = "TEXT", help: str = "the texts; without any, lines of stdin") -> None:
    parser.add_argument("text", nargs="*", metavar=metavar, help=help)
    about = "read the texts from a file, one a line; - is stdin"
    parser.add_argument("--file", "-f", type=path, metavar="FILE", help=about)
    parser.add_argument("--quiet", action="store_true", help="no progress on a terminal")


def _fill_mask(commands: Any) -> None:
    p = make_command(
        commands,
        "fill-mask",
        "tasks:fill_mask",
        "words that fit where a text has [MASK]",
        'minibert fill-mask "The [MASK] sat on the throne."\n'
        '  minibert fill-mask --model bert-base-cased "Hello I\'m a [MASK] model."',
    )
    _texts(p)
    p.add_argument("--top-k", type=count, default=5, metavar="N", help="how many words for each [MASK] (5)")
    p.add_argument("--targets", type=words, metavar="WORD,WORD", help="choose among these words only")
    larger = "for the model most people mean by BERT, say --model bert-base-cased, which is downloaded (436 MB)"
    _model(p, default=f"{_MINI}; {larger}")
    _compute(p)


def _features(commands: Any) -> None:
    p = make_command(
        commands,
        "features",
        "tasks:features",
        "vectors for the tokens of texts, or one for each text",
        "minibert features --pool mean --normalize --out vectors.npy --file notes.txt",
    )
    _texts(p)
    p.add_argument(
        "--pool",
        choices=("none", "cls", "mean"),
        default="none",
        help="one vector for each token (none), that of [CLS], or the mean over the tokens",
    )
    p.add_argument("--normalize", action="store_true", help="scale vectors to length one")
    p.add_argument(
        "--out",
        type=path,
        metavar="X.npy",
        help="write a NumPy array: (texts, H) if pooled, else (texts, longest, H) with zeros behind shorter texts; "
        "a text that cannot be answered becomes NaN",
    )
    _model(p)
    _compute(p)


def _next_sentence(commands: Any) -> None:
    p = make_command(
        commands,
        "next-sentence",
        "tasks:next_sentence",
        "whether one text follows another",
        'minibert next-sentence --model bert-base-cased "It rains." "Take an umbrella."',
    )
    _texts(p, help="two texts; without them, lines with two texts and a TAB between")
    _model(p)
    _compute(p)


def _classify(commands: Any) -> None:
    p = make_command(
        commands,
        "classify",
        "tasks:classify",
        "labels for texts",
        'minibert classify --model nlptown/bert-base-multilingual-uncased-sentiment --top-k all "What a lovely day!"',
    )
    _texts(p)
    p.add_argument("--pairs", action="store_true", help="each text is two, with a TAB between")
    p.add_argument("--top-k", type=count_or_all, default=1, metavar="N", help="how many labels, or all (1)")
    p.add_argument("--function", choices=("softmax", "sigmoid", "none"), help="from logits to scores (as configured)")
    _fine_tuned_model(p, "nlptown/bert-base-multilingual-uncased-sentiment")
    _compute(p)


def _tokens(commands: Any) -> None:
    p = make_command(
        commands,
        "tokens",
        "tasks:tokens",
        "names and other marked words in texts",
        'minibert tokens --model dslim/bert-base-NER "Wolfgang lives in Berlin."',
    )
    _texts(p)
    p.add_argument(
        "--aggregation",
        choices=("none", "simple", "first", "average", "max"),
        default="simple",
        help="how tokens are merged; none shows each token (simple)",
    )
    p.add_argument("--stride", type=count_or_zero, metavar="N", help="read long texts in windows that share N tokens")
    _fine_tuned_model(p, "dslim/bert-base-NER")
    _compute(p)


def _answer(commands: Any) -> None:
    p = make_command(
        commands,
        "answer",
        "tasks:answer",
        "answers to questions, out of a text",
        'minibert answer --model deepset/bert-base-cased-squad2 "Where does Ann live?" "Ann lives in Rome."\n'
        '  minibert answer --model deepset/bert-base-cased-squad2 --context-file page.txt "Who wrote it?" "When?"',
    )
    _texts(p, help="a question and the text; or, with --context, questions; or lines, question TAB text")
    p.add_argument("--context", metavar="TEXT", help="the text that holds the answers")
    p.add_argument("--context-file", type=path, metavar="FILE", help="a file with that text")
    p.add_argument("--top-k", type=count, default=1, metavar="N", help="how many answers (1)")
    p.add_argument("--max-answer-len", type=count, default=15, metavar="N", help="the most tokens of an answer (15)")
    p.add_argument("--impossible", action="store_true", help="no answer may be the best answer")
    _fine_tuned_model(p, "deepset/bert-base-cased-squad2")
    _compute(p)


def _tokenize(commands: Any) -> None:
    p = make_command(
        commands,
        "tokenize",
        "files:tokenize",
        "the tokens of texts and their ids",
        'minibert tokenize --model bert-base-cased "A, naïve [MASK] AllenNLP sentence."',
    )
    _texts(p)
    p.add_argument("--pairs", action="store_true", help="each text is two, with a TAB between")
    p.add_argument("--no-special-tokens", action="store_true", help="leave out [CLS] and [SEP]")
    _model(p)
