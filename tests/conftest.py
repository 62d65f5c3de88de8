"""What holds for all tests."""

from hypothesis import settings

# A machine that does other things as well is slow, not wrong.
settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")
