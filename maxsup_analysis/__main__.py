"""`python -m maxsup_analysis` is `maxsup-analyze`."""

from maxsup_analysis.cli import main

if __name__ == "__main__":
    main()
