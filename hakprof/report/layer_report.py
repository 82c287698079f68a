"""The layers of recordings as a document, and as rows for a spreadsheet."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hakprof.analysis.listing import Listing

SCHEMA_VERSION = 1
CSV_COLUMNS = ("recording", "event", "layer", "meaning", "side", "samples", "share", "low", "high", "kernel_samples")


@dataclass(frozen=True, slots=True)
class LayerReport:
    """The layers of each recording that was asked for; ``name`` is the run's or the file's."""

    name: str
    listings: tuple[Listing, ...]
    schema_version: int = field(default=SCHEMA_VERSION)


def layer_rows(report: LayerReport) -> Iterator[tuple[object, ...]]:
    """One row per recording and layer, under :data:`CSV_COLUMNS`; shares are fractions."""
    for listing in report.listings:
        for row in listing.layers:
            share = row.share
            yield (
                listing.title or report.name,
                listing.event,
                row.layer,
                row.meaning,
                row.side,
                share.count,
                share.value,
                share.low,
                share.high,
                row.kernel_samples,
            )
