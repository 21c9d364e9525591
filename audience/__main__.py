"""python -m audience"""

from audience.cli import run

if __name__ == "__main__":
    run()
