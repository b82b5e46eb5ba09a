"""The chemistry checkpoints: the published fingerprint, masked tokens recovered, the answers of transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minibert.autograd import no_grad
from minibert.bert import BertModel
from minibert.heads import BertForPreTraining, BertForSequenceClassification
from tests.parity.judges import judge
from tests.parity.reactions import REACTIONS, README, Vocabulary

torch = pytest.importorskip("torch", reason="needs torch, which alone reads the .bin files safely")
pytest.importorskip("transformers", reason="needs transformers, the judge")

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("rxnfp")]

# rxnfp's documentation (the wheel's METADATA): the first five of 256 numbers of the example reaction's fingerprint,
# which is the last hidden state of [CLS].
FINGERPRINT = [-2.0174953937530518, 1.7602033615112305, -1.3323537111282349, -1.1095019578933716, 1.2254549264907837]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_published_fingerprint(dtype: str, published: Callable[[str], Path]) -> None:
    folder = published("rxnfp-ft")
    model = BertModel.from_pretrained(folder, dtype=dtype)
    state = model(Vocabulary(folder).encode(README)[None]).last_hidden_state.numpy()
    assert state.shape == (1, 105, 256)
    error = np.abs(state[0, 0, :5] - FINGERPRINT).max()
    print(f"fingerprint, {dtype}: {state[0, 0, :5]}, largest difference {error:.1e}")
    assert error < 1e-5  # what was published is float32


def test_masked_tokens_are_recovered(published: Callable[[str], Path]) -> None:
    """Each token of a reaction masked in turn; chance would be 0.2 %."""
    folder = published("rxnfp-pretrained")
    vocabulary = Vocabulary(folder)
    model = BertForPreTraining.from_pretrained(folder)
    torch_model = judge("BertForPreTraining", folder, "float32")
    found, total = 0, 0
    for reaction in REACTIONS:
        ids = vocabulary.encode(reaction)
        n = len(ids) - 2  # without [CLS] and [SEP]
        masked = np.tile(ids, (n, 1))
        masked[np.arange(n), np.arange(1, n + 1)] = vocabulary.mask
        with no_grad(), torch.no_grad():
            best = model(masked, rows=masked == vocabulary.mask).prediction_logits.numpy().argmax(axis=-1)
            logits = torch_model(torch.tensor(masked)).prediction_logits[np.arange(n), np.arange(1, n + 1)]
        np.testing.assert_array_equal(best, logits.numpy().argmax(axis=-1))
        recovered = int((best == ids[1:-1]).sum())
        print(f"masked tokens recovered: {recovered} of {n} of {reaction}")
        assert recovered >= 0.9 * n
        found, total = found + recovered, total + n
    print(f"masked tokens recovered: {found} of {total} ({found / total:.1%})")
    assert found >= 0.9 * total


def test_reaction_classes_are_those_of_transformers(published: Callable[[str], Path]) -> None:
    """50 labels, although the configuration's id2label lists two."""
    folder = published("rxnfp-ft-10k-25s")
    vocabulary = Vocabulary(folder)
    model = BertForSequenceClassification.from_pretrained(folder, dtype="float64")
    torch_model = judge("BertForSequenceClassification", folder, "float64")
    rows = [vocabulary.encode(reaction) for reaction in REACTIONS]
    ids, mask = (np.zeros((3, max(map(len, rows))), int) for _ in range(2))
    for b, row in enumerate(rows):
        ids[b, : len(row)], mask[b, : len(row)] = row, 1
    logits = model(ids, attention_mask=mask).logits.numpy()
    assert logits.shape == (3, 50)
    with torch.no_grad():
        expected = torch_model(torch.tensor(ids), attention_mask=torch.tensor(mask)).logits.numpy()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-10)  # float64 rounding through 12 layers: about 1e-14
