"""`python -m minires` runs the command `minires`."""

import sys

from minires.errors import MissingLibraryError
from minires.extras import require


def main() -> int:
    """Run the command line and return its exit code; 2 if the libraries that it needs are not installed."""
    try:
        for library in ("click", "rich"):
            require(library, "the command line")
    except MissingLibraryError as error:
        sys.stderr.write(f"minires: {error}\n")
        return 2
    from minires.cli import main as run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
