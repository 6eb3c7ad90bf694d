"""Functions for worker processes that fail in real ways."""

import os
import signal
import time


def double(number: int) -> int:
    return 2 * number


def die_at_two(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    return number


def hang_at_one(number: int) -> int:
    if number == 1:
        time.sleep(600)
    return number


def raise_at_three(number: int) -> int:
    if number == 3:
        raise ValueError("three is too many")
    return number


def cannot_start() -> None:
    os._exit(7)
