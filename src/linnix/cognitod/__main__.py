"""``python -m linnix.cognitod``: the same as ``cognitod``."""

import sys

from linnix.cognitod.cli import main

if __name__ == "__main__":
    sys.exit(main())
