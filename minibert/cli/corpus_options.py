"""What may be typed after vocabulary and prepare. Imports nothing heavy."""

from __future__ import annotations

from typing import Any

from minibert.cli.parser import count, make_command, path
from minibert.models import MINI

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """The two commands."""
    _vocabulary(commands)
    _prepare(commands)


def _vocabulary(commands: Any) -> None:
    p = make_command(
        commands,
        "vocabulary",
        "corpus:vocabulary",
        "a WordPiece vocabulary from a corpus",
        "minibert vocabulary books/ --size 8192 --cased --held-out emma.txt --out vocabulary/",
    )
    _corpus(p)
    p.add_argument("--size", type=count, default=30_000, metavar="N", help="how many tokens (30000)")
    _case(p, required=True)
    p.add_argument("--min-frequency", type=count, default=2, metavar="N", help="merge no pair that is rarer (2)")
    p.add_argument(
        "--alphabet", type=count, default=1000, metavar="N", help="keep the N most frequent characters (1000)"
    )
    p.add_argument("--max-length", type=count, default=512, metavar="N", help="the most tokens of a row (512)")
    p.add_argument(
        "--out", "-o", required=True, type=path, metavar="FOLDER", help="where vocab.txt and its companions go"
    )


def _prepare(commands: Any) -> None:
    p = make_command(
        commands,
        "prepare",
        "corpus:prepare",
        "a corpus as token files, for pretraining",
        "minibert prepare books/ --vocab vocabulary/ --held-out emma.txt --out data/",
    )
    _corpus(p)
    kinds = f"a tokenizer's folder, a vocab.txt, or a bundled model's name ({MINI})"
    p.add_argument("--vocab", type=path, default=MINI, metavar="V", help=kinds)
    _case(p, required=False)
    p.add_argument("--shard-tokens", type=count, default=1 << 23, metavar="N", help="tokens of a file (8388608)")
    where = "a new folder; with --held-out it gets FOLDER/train and FOLDER/held-out"
    p.add_argument("--out", "-o", required=True, type=path, metavar="FOLDER", help=where)


def _corpus(p: Any) -> None:
    texts = "files, or folders of .txt and .xml files; .gz, .bz2, .xz and .zst are decompressed"
    p.add_argument("corpus", nargs="+", type=path, metavar="CORPUS", help=texts)
    kinds = p.add_argument_group("the corpus")
    kinds.add_argument(
        "--format",
        choices=("auto", "text", "google", "wikipedia"),
        default="auto",
        help="text: a file is a document, blank lines between paragraphs; google: a sentence a line, blank lines"
        " between documents; wikipedia: an XML dump; auto: wikipedia for .xml, else text",
    )
    kinds.add_argument(
        "--held-out",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="documents to keep apart: a file's place in the folder or its name, a page's title, a pattern with *"
        " and ?; or @FILE with such names, one a line",
    )
    what = "what to do with texts that cannot be read (skip)"
    kinds.add_argument("--on-error", choices=("skip", "refuse"), default="skip", help=what)
    kinds.add_argument("--quiet", action="store_true", help="no progress")


def _case(p: Any, *, required: bool) -> None:
    which = p.add_mutually_exclusive_group(required=required)
    which.add_argument("--cased", dest="cased", action="store_true", default=None, help="keep case and accents")
    which.add_argument("--uncased", dest="cased", action="store_false", help="lower-case, strip accents")
