"""`python -m hazardline` is the command `hazardline`."""

from hazardline.cli.main import main

if __name__ == "__main__":
    main()
