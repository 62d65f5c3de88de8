"""How far a training is, on stderr."""

from maxsup_analysis.progress import Meter


class TrainingMeter(Meter):
    """Samples seen of those of all epochs, with the epoch, its loss and accuracy so far, and the time left."""

    words = ""

    @property
    def summary(self) -> str:
        """What was last told."""
        return self.words

    def tell(self, samples: int, words: str) -> None:
        """So many more samples were seen; the loss and accuracy in words."""
        self.words = words
        self.advance(samples)
