"""``python -m densevit``: the console command where it is not on the path."""
import sys

from .commands import main

if __name__ == '__main__':
    sys.exit(main())
