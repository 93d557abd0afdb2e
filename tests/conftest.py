"""What all tests share."""

import os

from hypothesis import settings

# A busy machine is no failure; and CI judges a change, so it draws the same examples every time.
settings.register_profile("project", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("project")
