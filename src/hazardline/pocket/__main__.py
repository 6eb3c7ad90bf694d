"""`python -m hazardline.pocket`: see `hazardline.pocket.build`."""

from hazardline.pocket.build import main

if __name__ == "__main__":
    main()
