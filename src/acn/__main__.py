"""`python -m acn` is the command `acn`."""

from acn.cli.main import main

if __name__ == "__main__":
    main()
