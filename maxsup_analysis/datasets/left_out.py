"""What is there and is no sample: counted and named, so that nothing is missing unseen."""

from dataclasses import dataclass, field

from maxsup_analysis.labels import clean_label
from maxsup_analysis.progress import say

MOST_NAMED = 3


@dataclass
class LeftOut:
    """Counts while a source is listed; the first few names are kept.

    place: where they lie. why: why they are no samples.
    """

    place: str
    why: str = "no images by their names"
    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """One more."""
        self.count += 1
        if self.count <= MOST_NAMED:
            self.names.append(clean_label(name))

    def say(self) -> None:
        """One line on stderr; none where nothing was left out."""
        if self.count:
            rest = ", ..." if self.count > MOST_NAMED else ""
            place = clean_label(self.place, 400)
            say(f"note: {self.count:,} left out of {place}, {self.why}: {', '.join(self.names)}{rest}")
