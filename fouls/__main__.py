"""``python -m fouls``."""

from fouls.cli import main

if __name__ == "__main__":
    main()
