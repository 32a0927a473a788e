"""``python -m bench``: the command line."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        # Python puts the current folder first; a script random.py there is not the library.
        sys.path.append(sys.path.pop(0))
    from bench.cli.main import main

    main()
