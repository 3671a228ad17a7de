"""`make bench`: every measurement, in one run on one machine."""

from benchmarks import growth, guards, mirror

if __name__ == "__main__":
    growth.main()
    guards.main()
    mirror.main()
