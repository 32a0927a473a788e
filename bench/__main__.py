"""``python -m bench``: the command line."""

import os
import sys

if __name__ == "__main__":
    # Python puts the current folder first; a script random.py there is not the library.
    sys.path.sort(key=lambda entry: entry in ("", os.getcwd()))
    from bench.cli.main import main

    main()
