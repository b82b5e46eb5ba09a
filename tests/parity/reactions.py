"""Chemical reactions as a language: what the tests of the rxnfp checkpoints read.

A reaction is written as SMILES, reactants>>products; a token is an atom, a bond, a bracket or a ring number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minibert.heads import NextSentence

README = (  # the example of rxnfp's own documentation, which the wheel's METADATA repeats
    "Nc1cccc2cnccc12.O=C(O)c1cc([N+](=O)[O-])c(Sc2c(Cl)cncc2Cl)s1"
    ">>O=C(Nc1cccc2cnccc12)c1cc([N+](=O)[O-])c(Sc2c(Cl)cncc2Cl)s1"
)
# From the chemistry textbook: acetic anhydride with salicylic acid, and with 4-aminophenol.
ASPIRIN = "CC(=O)OC(C)=O.O=C(O)c1ccccc1O>>CC(=O)Oc1ccccc1C(=O)O"
PARACETAMOL = "CC(=O)OC(C)=O.Nc1ccc(O)cc1>>CC(=O)Nc1ccc(O)cc1"
REACTIONS = [README, ASPIRIN, PARACETAMOL]

# One group in square brackets, a two-letter element, the arrow, a two-digit ring number, or a single character.
_TOKEN = re.compile(r"\[[^\]]+\]|Br|Cl|>>|%\d\d|.")


class Vocabulary:
    """The tokens of an rxnfp checkpoint and their ids."""

    def __init__(self, folder: Path) -> None:
        lines = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
        self.ids = {token: i for i, token in enumerate(lines) if token}
        self.pad, self.mask = self.ids["[PAD]"], self.ids["[MASK]"]

    def __len__(self) -> int:
        return len(self.ids)

    def encode(self, reaction: str) -> np.ndarray:
        """[CLS] reaction [SEP], as ids (S,)."""
        return np.array([self.ids[token] for token in ["[CLS]", *_TOKEN.findall(reaction), "[SEP]"]])

    def encode_pair(self, reaction: str) -> tuple[np.ndarray, np.ndarray]:
        """[CLS] reactants [SEP] products [SEP]: ids and token types, each (S,)."""
        first, second = (self.encode(side) for side in reaction.split(">>"))
        return np.concatenate([first, second[1:]]), np.repeat([0, 1], [len(first), len(second) - 1])


@dataclass
class Batch:
    """The inputs and labels of one pretraining step; all arrays (B, S), but next_sentence_label (B,)."""

    input_ids: np.ndarray
    attention_mask: np.ndarray
    token_type_ids: np.ndarray
    labels: np.ndarray
    next_sentence_label: np.ndarray

    def items(self, convert: Any = lambda array: array) -> dict[str, Any]:
        """Keyword arguments for a model, each array passed through `convert`."""
        return {name: convert(array) for name, array in vars(self).items()}


def pretraining_batch(vocabulary: Vocabulary, rows: list[tuple[np.ndarray, np.ndarray]], seed: int) -> Batch:
    """Pad rows of (ids, token types) to one length, and hide 15 % of their inner tokens.

    The next-sentence labels alternate: the published head was trained where all pairs belong together, so a batch of
    one kind only would have next to no gradient there.
    """
    draw = np.random.default_rng(seed)
    B, S = len(rows), max(len(ids) for ids, _ in rows)
    input_ids, types = np.full((B, S), vocabulary.pad), np.zeros((B, S), int)
    mask, labels = np.zeros((B, S), int), np.full((B, S), -100)
    for b, (ids, row_types) in enumerate(rows):
        n = len(ids)
        input_ids[b, :n], types[b, :n], mask[b, :n] = ids, row_types, 1
        hidden = draw.choice(np.arange(1, n - 1), size=max(1, round(0.15 * (n - 2))), replace=False)
        labels[b, hidden] = input_ids[b, hidden]
        input_ids[b, hidden] = vocabulary.mask
    return Batch(input_ids, mask, types, labels, np.arange(B) % len(NextSentence))


def real_batch(vocabulary: Vocabulary, seed: int) -> Batch:
    """The three reactions as pairs reactants, products."""
    return pretraining_batch(vocabulary, [vocabulary.encode_pair(reaction) for reaction in REACTIONS], seed)


def random_batch(vocabulary: Vocabulary, seed: int, lengths: tuple[int, ...] = (37, 5, 13, 29)) -> Batch:
    """Ids and token types drawn at random, of ragged lengths.

    The pad's id is left out: transformers gives the embedding of that id no gradient even where it stands for a real
    token, which is neither the paper's nor Google's way.
    """
    draw = np.random.default_rng(seed)
    rows = [(draw.integers(vocabulary.pad + 1, len(vocabulary), n), draw.integers(0, 2, n)) for n in lengths]
    return pretraining_batch(vocabulary, rows, seed)
