"""A script of a user, as mypy sees it (`make types`): what calls of models take and return.

A line with `type: ignore` is a mistake that mypy must find; where it does not, the ignore is unused, which is an error.
"""

from __future__ import annotations

import numpy as np

from minibert import (
    AdamW,
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
    Tensor,
)
from minibert.nn import Linear

config = BertConfig(num_labels=3, id2label={0: "no", 1: "yes", 2: "perhaps"})
config.num_labels = 4
names: dict[int, str] = config.id2label
BertConfig(hidden_size="768")  # type: ignore[arg-type]

tokenizer = BertTokenizer.from_pretrained("folder", token="hf_x", subfolder="inner")
batch = tokenizer(["one text", "another"], padding=True, return_tensors="np")

model = BertModel.from_pretrained("folder")
out = model(**batch)
state: Tensor = out.last_hidden_state
print(out.last_hidden_stat)  # type: ignore[attr-defined]
model(np.array([[1, 2]]), attention_masks=[[1, 1]])  # type: ignore[call-arg]
model(np.array([[1, 2]]), np.array([[1, 1]]))  # type: ignore[call-arg]
first, pooled = model(np.array([[1, 2]]), return_dict=False)
first.numpy()

classifier = BertForSequenceClassification(config)
answer = classifier(np.array([[1, 2]]), labels=[0])
scores: np.ndarray = answer.logits.numpy()
answer.loss.backward()
AdamW(classifier.parameters(), lr=2e-5).step()
print(answer.start_logits)  # type: ignore[attr-defined]
width: int = classifier.bert.embeddings.word_embeddings.weight.shape[1]
print(classifier.classifer)  # type: ignore[attr-defined]

start: Tensor = BertForQuestionAnswering(config)(np.array([[1, 2]])).start_logits
words: Tensor = BertForMaskedLM(config)(np.array([[1, 2]]), rows="labels", labels=[[1, -100]]).logits
relation: Tensor = BertForPreTraining(config)(np.array([[1, 2]])).seq_relationship_logits
y: Tensor = Linear(3, 4)(state)
Linear(3, 4)("text")  # type: ignore[arg-type]
