"""Times of alternatives, taken in turn."""

import statistics
import time


def alternate(functions, repeats, warm_up=3, clock=time.perf_counter):
    """Seconds of each call, the functions taking turns.

    Whatever else the machine does then falls on all of them alike.
    `time.process_time` as the clock adds up the time of all cores, on which
    other programs have less influence.

    Args:
        functions: Dict from a name to a function without arguments that
            returns when its work is done.
        repeats: Number of calls of each.
        warm_up: Calls of each that are not counted.
        clock: Function that returns seconds.

    Returns:
        Dict from the name to the list of seconds.
    """
    for function in functions.values():
        for _ in range(warm_up):
            function()
    seconds = {name: [] for name in functions}
    turns = list(functions)
    for _ in range(repeats):
        for name in turns:
            start = clock()
            functions[name]()
            seconds[name].append(clock() - start)
        # Nobody always comes after the same one.
        turns.reverse()
    return seconds


def median_ratio(seconds, name, against):
    """The median, over rounds, of one time divided by the other."""
    pairs = zip(seconds[name], seconds[against], strict=True)
    return statistics.median(first / second for first, second in pairs)


def milliseconds(seconds):
    return 1000 * statistics.median(seconds)
