"""``python -m linnix.reasoner``: the same as ``linnix-reasoner``."""

from linnix.reasoner.cli import main

if __name__ == "__main__":
    main()
