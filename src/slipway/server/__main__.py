"""`python -m slipway.server`."""

from slipway.server.main import run

if __name__ == "__main__":
    run()
