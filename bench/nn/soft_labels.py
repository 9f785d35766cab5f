"""Soft label encoding of what is known of a person: one-hot bins whose zeros are 0.1.

As Cao et al. 2023, "Multimodal contrastive learning for diagnosing cardiovascular diseases from electrocardiography
(ECG) signals and patient metadata", encode sex, height, weight and age, after Cai et al., "A multimodal transformer to
fuse images and metadata for skin disease classification", The Visual Computer 2022.

Paper and code: the paper names the encoding and nothing of it; layout and bins are those of the authors' published
code. An earlier script leaves what is missing at 0.1 everywhere, a later one fills height and weight with the commonest
bin of the sex and the decade of age; the code takes the last bin of height and of weight for a missing value, and here
it is a bin like the others. Neither says what is beyond the bins.
"""

import torch
from torch import Tensor

WIDTH = 32
"""Length of a code: 2 of sex (female, male), then 10 each of height, weight and age."""

LOW, HIGH = 0.1, 1.0
"""Values of an inactive and of the active entry of a group."""

_BINS = 10
_HEIGHT, _WEIGHT, _AGE = 2, 12, 22
_LEAST_CM, _WIDTH_CM, _WIDTH_KG, _DECADE = 100.0, 10.0, 12.0, 10.0

_COMMON_HEIGHT = ((0, 7, 7, 7, 7, 7, 7, 7, 7, 7), (1, 6, 6, 6, 6, 6, 6, 6, 6, 5))
_COMMON_WEIGHT = ((1, 6, 6, 6, 6, 6, 6, 6, 5, 5), (1, 5, 5, 5, 5, 5, 5, 5, 4, 4))
"""Commonest bin of men, then of women, by decade of age."""


def soft_label_encoding(
    age: Tensor, sex: Tensor, height: Tensor, weight: Tensor, imputed: bool = False
) -> Tensor:
    """Codes of some people, 0.1 + 0.9 x one-hot in each group.

    Columns: 0 female, 1 male; 2 to 11 height from 100 cm on by 10; 12 to 21 weight from 0 kg on by 12; 22 to 31 age
    from 0 years on by 10. A bin holds its lower edge. What is below the first bin or beyond the last counts as in it,
    so an age of 300, as PTB-XL writes ages above 89, is of the last. What is unknown leaves its group at 0.1.

    Args:
        age: (B,) years, NaN unknown.
        sex: (B,) 0 male, 1 female, -1 unknown.
        height: (B,) cm, NaN unknown.
        weight: (B,) kg, NaN unknown.
        imputed: fill an unknown height or weight with the commonest bin of the sex and the decade of age, where both
            are known.

    Returns:
        (B, 32) float32.
    """
    decade = _bin(age, 0.0, _DECADE)
    tall, heavy = _bin(height, _LEAST_CM, _WIDTH_CM), _bin(weight, 0.0, _WIDTH_KG)
    if imputed:
        tall = torch.where(tall >= 0, tall, _common(_COMMON_HEIGHT, sex, decade))
        heavy = torch.where(heavy >= 0, heavy, _common(_COMMON_WEIGHT, sex, decade))
    first = torch.where(sex >= 0, 1 - sex.long(), -1)
    places = ((first, 0), (tall, _HEIGHT), (heavy, _WEIGHT), (decade, _AGE))
    columns = torch.stack([torch.where(place >= 0, place + offset, WIDTH) for place, offset in places], dim=1)
    codes = torch.full((len(age), WIDTH + 1), LOW, device=age.device)  # the last column takes what is unknown
    return codes.scatter_(1, columns, HIGH)[:, :WIDTH]


def _bin(values: Tensor, least: float, width: float) -> Tensor:
    """(B,) int64 number of the bin of each value, -1 where it is unknown."""
    number = ((values - least) / width).floor().clamp(0, _BINS - 1)
    return number.nan_to_num(-1.0).long()


def _common(table: tuple[tuple[int, ...], ...], sex: Tensor, decade: Tensor) -> Tensor:
    """(B,) int64 commonest bin of each sex and decade, -1 where either is unknown."""
    bins = torch.tensor(table, device=sex.device)
    known = (sex >= 0) & (decade >= 0)
    return torch.where(known, bins[sex.long().clamp(min=0), decade.clamp(min=0)], -1)
