"""Logits and targets that the tests of losses share."""

import torch

GENERATOR = torch.Generator().manual_seed(0)
B, K = 48, 7
LOGITS = 4 * torch.randn(B, K, generator=GENERATOR, dtype=torch.float64)
LABELS = torch.randint(K, (B,), generator=GENERATOR)
SOFT = (2 * torch.randn(B, K, generator=GENERATOR, dtype=torch.float64)).softmax(1)
WEIGHT = 0.25 + torch.rand(K, generator=GENERATOR, dtype=torch.float64)


def one_hot(labels: torch.Tensor, classes: int = K) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels, classes).double()
