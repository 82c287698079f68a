"""What samples stand for where that differs: of events other than time a share of samples is no share of events."""

from hakprof import units


def unequal_periods(event: str, samples: int, events: int, extremes: tuple[int, int] | None) -> str | None:
    """A sentence for readers of shares of such an event; None where each sample stands for as much.

    ``events`` is what all ``samples`` stand for together, ``extremes`` the least and the most of one.
    """
    if extremes is None or extremes[0] == extremes[1]:
        return None
    least, most = (units.count(each) for each in extremes)
    return (
        f"the {units.count(samples)} samples of {event} stand for {units.count(events)} events, each for {least} to"
        f" {most} of them: shares are of samples, not of events; record with a fixed period (-c 1), or see the periods"
        " that hakprof layers --by shows"
    )
