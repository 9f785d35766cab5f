"""Rhythm: ECGs with the same expert label should agree. This is supervised contrastive learning.

Strategy 4 of "Finding 'Good Views' of Electrocardiogram Signals" (arXiv 2411.17702, section 2.2); see Khosla et
al., "Supervised Contrastive Learning", NeurIPS 2020 (arXiv 2004.11362), for what it is.

Paper and code: the paper matches on 11 rhythms and 16 conditions (the corpus has 56); its code matches on the
downstream task's own four classes, and its table comes from the code. So the default is 'label4', the downstream
labels, whatever they are. Only records of the label subset are ever seen.
"""

from typing import Literal

from torch import Tensor

from bench.train.strategy import BOARD, Batch, Field, Info, Params, Strategy, Views


class RhythmParams(Params):
    """Parameters of `Rhythm`.

    Attributes:
        mode: 'label4': the downstream task's labels; 'rhythm11': those of task 'rhythm11'; 'rhythm_conditions':
            the same rhythm of 'rhythm11' and the same set of 'conditions', the empty set included.
        multi: under 'label4', records of a multi-label task match by 'equal' label sets, or if they 'overlap'.
    """

    mode: Literal["label4", "rhythm11", "rhythm_conditions"] = "label4"
    multi: Literal["equal", "overlap"] = "equal"


class Rhythm(Strategy):
    """Positives are records with the same labels."""

    name = "rhythm"
    title = "Same label (supervised contrastive)"
    paper = "Good Views strategy 4, arXiv 2411.17702"
    needs = frozenset({Field.LABELS})
    labelled_only = True
    deviations = (
        "Matches on the downstream task's labels, whatever they are, as the code does on its four classes;"
        " the paper on 11 rhythms and conditions.",
        "Trained on the label subset alone; the published code uses all training labels.",
    )
    recipes = {
        "goodviews": {},
        "goodviews_code": {"as_published_diagonal": True},
        "goodviews_text": {"mode": "rhythm_conditions"},
        "board": dict(BOARD),
    }
    Params = RhythmParams
    params: RhythmParams

    @classmethod
    def incompatible(cls, info: Info, params: RhythmParams) -> str | None:
        """The corpus has the tasks that the mode reads."""
        reads = {"label4": (), "rhythm11": ("rhythm11",), "rhythm_conditions": ("rhythm11", "conditions")}
        missing = [task for task in reads[params.mode] if task not in info.tasks]
        if missing:
            known = ", ".join(info.tasks) or "none"
            return f"mode {params.mode!r} reads the labels of task {missing[0]!r}; this corpus has: {known}"
        return None

    def positives(self, batch: Batch, views: Views) -> Tensor:
        """(N, N) records with the same labels; a record without any matches nothing."""
        if self.params.mode == "label4":
            same = agreement(batch.labels, self.params.multi)
        else:
            same = agreement(batch.labels_of("rhythm11"))
        if self.params.mode == "rhythm_conditions":
            conditions = batch.labels_of("conditions")
            same = same & (conditions[:, None] == conditions[None, :]).all(2)
        return same[views.source][:, views.source]


def agreement(labels: Tensor, how: Literal["equal", "overlap"] = "equal") -> Tensor:
    """(B, B) bool: whose label sets, multi-hot (B, K), are equal or overlap; an empty set does neither."""
    common, size = labels @ labels.T, labels.sum(1)
    if how == "overlap":
        return common > 0
    return (common == size[:, None]) & (common == size[None, :]) & (size > 0)[:, None]
