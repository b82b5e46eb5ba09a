"""What may be typed after `minibert`. Nothing heavy is imported here, so that --help answers at once."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

import minibert
from minibert.bench.options import EXAMPLE, add_options
from minibert.cli import corpus_options, training_options

__all__ = ["CommandError", "parse"]


class CommandError(ValueError):
    """Something wrong with what was typed or with the texts that came in."""


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{message}; see {self.prog} --help")


DESCRIPTION = "BERT by hand: pipelines, tokenizer and checkpoint tools."
EPILOG = """\
Texts are arguments, or the lines of --file FILE, or the lines of stdin (UTF-8). Put -- before a text that begins with a
dash. MODEL is a folder with config.json, weights and vocabulary, or a name on the Hugging Face hub.
`minibert COMMAND --help` has an example for each command."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command and its options; `run` names the function to call.

    Raises:
        CommandError: what was typed makes no sense.
        SystemExit: after --help or --version.
    """
    parser = Parser("minibert", description=DESCRIPTION, epilog=EPILOG, allow_abbrev=False, formatter_class=_Raw)
    parser.add_argument("--version", action="version", version=f"minibert {minibert.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    tasks = (_fill_mask, _features, _next_sentence, _classify, _tokens, _answer)
    for add in (*tasks, _tokenize, _convert, _average, _info, _bench):
        add(commands)
    corpus_options.add_commands(commands, _command, _count)
    training_options.add_commands(commands, _command, _count)
    given, unknown = parser.parse_known_args(arguments)
    if unknown:  # told by the command, since its --help is the one to look at
        commands.choices.get(given.command, parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    if given.command is None:
        parser.error("which command? " + ", ".join(commands.choices))
    return given


_Raw = argparse.RawDescriptionHelpFormatter


def _command(commands: Any, name: str, run: str, about: str, example: str) -> Parser:
    parser: Parser = commands.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=_Raw,
        allow_abbrev=False,
    )
    parser.set_defaults(run=f"minibert.cli.{run}")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a table: one object for each input")
    parser.add_argument("--debug", action="store_true", help="show where an error came from")
    return parser


def _source(parser: Parser, default: str | None = None) -> None:
    """Where a model comes from. `default`: what it is when none is named, in words."""
    where = parser.add_argument_group("the model")
    told = "a folder, or a name on the hub" + (f"; without it, {default}" if default else "")
    where.add_argument("--model", "-m", required=default is None, help=told)
    _hub(where)


def _hub(where: Any) -> None:
    where.add_argument("--revision", help="branch, tag or commit on the hub")
    where.add_argument("--cache-dir", metavar="DIR", help="where files from the hub are kept")
    where.add_argument("--offline", action="store_true", help="use what the cache has, download nothing")


def _compute(parser: Parser, default_model: str | None = None) -> None:
    """How it computes."""
    _source(parser, default_model)
    how = parser.add_argument_group("computing")
    how.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="precision (float32)")
    how.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where (cpu)")
    how.add_argument("--batch-size", type=_count, default=32, metavar="N", help="texts at once (32)")
    how.add_argument("--truncate", action="store_true", help="cut texts that are too long instead of refusing them")


def _texts(parser: Parser, metavar: str = "TEXT", help: str = "the texts; without any, lines of stdin") -> None:
    parser.add_argument("text", nargs="*", metavar=metavar, help=help)
    parser.add_argument("--file", "-f", metavar="FILE", help="read the texts from a file, one a line; - is stdin")


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text!r}")
    return int(text)


def _count_or_zero(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _count_or_all(text: str) -> int | None:
    return None if text == "all" else _count(text)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with commas between, got {text!r}") from None


def _words(text: str) -> list[str]:
    return [word for word in (part.strip() for part in text.split(",")) if word]


def _fill_mask(commands: Any) -> None:
    p = _command(
        commands,
        "fill-mask",
        "tasks:fill_mask",
        "words that fit where a text has [MASK]",
        'minibert fill-mask "The [MASK] sat on the throne."\n'
        '  minibert fill-mask --model bert-base-cased "Hello I\'m a [MASK] model."',
    )
    _texts(p)
    p.add_argument("--top-k", type=_count, default=5, metavar="N", help="how many words for each [MASK] (5)")
    p.add_argument("--targets", type=_words, metavar="WORD,WORD", help="choose among these words only")
    _compute(
        p,
        "minibert-mini-cased, a small English model that comes with the package and knows the language of old books; "
        "for the model most people mean by BERT, say --model bert-base-cased, which is downloaded (436 MB)",
    )


def _features(commands: Any) -> None:
    p = _command(
        commands,
        "features",
        "tasks:features",
        "vectors for the tokens of texts, or one for each text",
        "minibert features --model MODEL --pool mean --normalize --out vectors.npy --file notes.txt",
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
        metavar="X.npy",
        help="write a NumPy array: (texts, H) if pooled, else (texts, longest, H) with zeros behind shorter texts",
    )
    _compute(p)


def _next_sentence(commands: Any) -> None:
    p = _command(
        commands,
        "next-sentence",
        "tasks:next_sentence",
        "whether one text follows another",
        'minibert next-sentence --model bert-base-cased "It rains." "Take an umbrella."',
    )
    _texts(p, help="two texts; without them, lines with two texts and a TAB between")
    _compute(p)


def _classify(commands: Any) -> None:
    p = _command(
        commands,
        "classify",
        "tasks:classify",
        "labels for texts",
        'minibert classify --model MODEL --top-k all "What a lovely day!"',
    )
    _texts(p)
    p.add_argument("--pairs", action="store_true", help="each text is two, with a TAB between")
    p.add_argument("--top-k", type=_count_or_all, default=1, metavar="N", help="how many labels, or all (1)")
    p.add_argument("--function", choices=("softmax", "sigmoid", "none"), help="from logits to scores (as configured)")
    _compute(p)


def _tokens(commands: Any) -> None:
    p = _command(
        commands,
        "tokens",
        "tasks:tokens",
        "names and other marked words in texts",
        'minibert tokens --model MODEL "Wolfgang lives in Berlin."',
    )
    _texts(p)
    p.add_argument(
        "--aggregation",
        choices=("none", "simple", "first", "average", "max"),
        default="simple",
        help="how tokens are merged; none shows each token (simple)",
    )
    p.add_argument("--stride", type=_count_or_zero, metavar="N", help="read long texts in windows that share N tokens")
    _compute(p)


def _answer(commands: Any) -> None:
    p = _command(
        commands,
        "answer",
        "tasks:answer",
        "answers to questions, out of a text",
        'minibert answer --model MODEL "Where does Ann live?" "Ann lives in Rome."\n'
        '  minibert answer --model MODEL --context-file page.txt "Who wrote it?" "When?"',
    )
    _texts(p, help="a question and the text; or, with --context, questions; or lines, question TAB text")
    p.add_argument("--context", metavar="TEXT", help="the text that holds the answers")
    p.add_argument("--context-file", metavar="FILE", help="a file with that text")
    p.add_argument("--top-k", type=_count, default=1, metavar="N", help="how many answers (1)")
    p.add_argument("--max-answer-len", type=_count, default=15, metavar="N", help="the most tokens of an answer (15)")
    p.add_argument("--impossible", action="store_true", help="no answer may be the best answer")
    _compute(p)


def _tokenize(commands: Any) -> None:
    p = _command(
        commands,
        "tokenize",
        "files:tokenize",
        "the tokens of texts and their ids",
        'minibert tokenize --model bert-base-cased "A, naïve [MASK] AllenNLP sentence."',
    )
    _texts(p)
    p.add_argument("--pairs", action="store_true", help="each text is two, with a TAB between")
    p.add_argument("--no-special-tokens", action="store_true", help="leave out [CLS] and [SEP]")
    _source(p)


_DTYPES = ("float64", "float32", "float16", "bfloat16")


def _convert(commands: Any) -> None:
    p = _command(
        commands,
        "convert",
        "files:convert",
        "any BERT checkpoint to safetensors under today's names",
        "minibert convert old-model/ new-model/ --dtype float16",
    )
    p.add_argument("source", metavar="SOURCE", help="a folder, or a name on the hub (a .bin file needs torch)")
    p.add_argument("target", metavar="TARGET", help="the folder to write")
    p.add_argument("--dtype", choices=_DTYPES, help="as stored in SOURCE if none")
    p.add_argument("--max-shard-size", metavar="SIZE", help="split the weights into files of at most, say, 500MB")
    _hub(p)


def _average(commands: Any) -> None:
    p = _command(
        commands,
        "average",
        "files:average",
        "the mean of the weights of several trainings that went on from the same model",
        "minibert average runs/first/model runs/second/model --out mean/",
    )
    p.add_argument("sources", nargs="+", metavar="MODEL", help="folders, or names on the hub; the rest is the first's")
    p.add_argument("--out", required=True, metavar="FOLDER", help="the folder to write")
    p.add_argument("--shares", type=_numbers, metavar="X,Y", help="how much of each (equal shares)")
    p.add_argument("--dtype", choices=_DTYPES, help="as stored in the first MODEL if none")
    _hub(p)


def _info(commands: Any) -> None:
    p = _command(
        commands,
        "info",
        "files:info",
        "what a checkpoint is: sizes, parameters, files, vocabulary",
        "minibert info bert-base-cased",
    )
    p.add_argument("name", nargs="?", metavar="MODEL", help="a folder, or a name on the hub")
    p.add_argument("--model", "-m", help="the same")
    _hub(p)


def _bench(commands: Any) -> None:
    p: Parser = commands.add_parser(
        "bench",
        help="how fast minibert is, beside other libraries",
        description="How fast minibert is, beside other libraries: in turn, each in a process of its own.",
        epilog=f"example:\n  {EXAMPLE}",
        formatter_class=_Raw,
        allow_abbrev=False,
    )
    p.set_defaults(run="minibert.bench.command:run")
    p.add_argument("--debug", action="store_true", help="show where an error came from")
    add_options(p, _count, _words)
