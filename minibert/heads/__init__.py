"""BERT's heads: pretraining, and the fine-tuning tasks of the paper's figure 4.

Each is a `BertModel` called `bert` and a few layers on top; losses are added when labels are given. Labels at pads
never count, whatever they are.
"""

from minibert.heads.pretraining import (
    BertForMaskedLM,
    BertForNextSentencePrediction,
    BertForPreTraining,
    NextSentence,
)
from minibert.heads.tasks import (
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)

__all__ = [
    "BertForMaskedLM",
    "BertForMultipleChoice",
    "BertForNextSentencePrediction",
    "BertForPreTraining",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "NextSentence",
]
