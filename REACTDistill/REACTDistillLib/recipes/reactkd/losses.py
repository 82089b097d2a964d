"""Losses of REACT-KD."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def focal_loss(logits: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    """Mean of -(1 - p_y)^gamma log p_y (Lin et al. 2017; the classification term of R20).

    ``logits`` (B, K), ``target`` (B,) class numbers; gamma = 0 is the cross-entropy.
    """
    log_p = functional.log_softmax(logits, dim=1).gather(1, target[:, None]).squeeze(1)  # (B,)
    return (-((1 - log_p.exp()) ** gamma) * log_p).mean()
