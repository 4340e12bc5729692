"""`python -m minires` runs the command `minires`."""

from minires.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
