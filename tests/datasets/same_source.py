"""What every source has to do, whatever its files look like."""

import pickle
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from maxsup_analysis.datasets import Samples
from maxsup_analysis.preprocessing import Preprocessing
from tests.datasets.photographs import SMALL


def expected_rows(arrays: Sequence[np.ndarray], how: Preprocessing = SMALL) -> np.ndarray:
    """Colours resized and cropped by torchvision alone."""
    steps = [
        transforms.Resize(how.resize or how.size[1:], transforms.InterpolationMode(how.interpolation)),
        transforms.CenterCrop(how.size[1:]),
    ]
    prepared = (transforms.Compose(steps)(Image.fromarray(one).convert("RGB")) for one in arrays)
    return np.stack([np.asarray(one).transpose(2, 0, 1) for one in prepared])


def assert_reads(data: Samples, arrays: Sequence[np.ndarray], labels: Sequence[int]) -> None:
    """The samples are these images in this order, from any process and in any order."""
    assert len(data) == len(arrays) and data.labels.tolist() == list(labels)
    rows = expected_rows(arrays)
    reader = data.reader(SMALL)
    found = reader.fetch(range(len(arrays)))
    assert not found.unreadable and found.ids.tolist() == list(range(len(arrays)))
    assert found.images.dtype == torch.uint8 and np.array_equal(found.images, rows)
    copy = pickle.loads(pickle.dumps(reader))
    backwards = copy.fetch(range(len(arrays) - 1, -1, -1))
    assert np.array_equal(backwards.images, rows[::-1])


def prints(data: Samples) -> tuple[str, str, str]:
    """Fingerprint, state by times, state by contents."""
    return data.fingerprint, data.state(hash_contents=False), data.state(hash_contents=True)


class _Rows(torch.utils.data.Dataset):
    def __init__(self, data: Samples) -> None:
        self.reader = data.reader(SMALL)

    def __getitem__(self, number: int) -> torch.Tensor:
        return self.reader.fetch([number]).images[0]


def by_workers(data: Samples) -> np.ndarray:
    """All images, read by two forked workers that shared the reader before they started."""
    rows = _Rows(data)
    rows[0]
    sampler = range(len(data))
    loader = torch.utils.data.DataLoader(rows, batch_size=3, sampler=sampler, num_workers=2)
    return torch.cat(list(loader)).numpy()
