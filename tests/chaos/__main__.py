"""`python -m chaos`, with the folder `tests` on the path: what `make chaos` runs."""

from chaos.run import main

if __name__ == "__main__":
    main()
