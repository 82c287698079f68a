"""Looking into recordings: their layers, and the hottest lines and instructions of one of them."""

from hakprof.analysis.listing import Listing, Narrowing, choose_event, list_layers
from hakprof.analysis.recording_notes import recording_notes
from hakprof.profiles import LayerProfile, load_recording
from hakprof.report.layer_report import LayerReport
from hakprof.selection import Recording, Selection


def report_layers(selection: Selection, narrowing: Narrowing, *, functions: int) -> LayerReport:
    """Reads the recordings of a selection and adds up their samples by layers, ``functions`` named in each.

    Raises:
        ParseError: a recording cannot be read.
        HakprofError: an event, thread name or object that is asked for is in none of its samples.
    """
    return LayerReport(
        selection.name,
        tuple(list_recording(one, load(selection, one), narrowing, functions) for one in selection.recordings),
    )


def load(selection: Selection, recording: Recording) -> LayerProfile:
    """One recording of a selection by the selection's layers. ParseError when it cannot be read."""
    return load_recording(
        recording.path,
        catalogues=selection.catalogues,
        layers=selection.layers,
        objects=recording.objects,
        kallsyms=recording.kallsyms,
    )


def list_recording(recording: Recording, loaded: LayerProfile, narrowing: Narrowing, functions: int) -> Listing:
    """The samples of a recording that was read, by layers. Raises as :func:`report_layers` does."""
    samples = loaded.attribution.samples
    of_time = {event.name: event.is_time for event in loaded.profile.events}
    event = choose_event(narrowing.event, of_time, samples)
    return list_layers(
        samples,
        title=recording.title,
        event=event,
        is_time=of_time[event],
        titles=loaded.attribution.titles,
        narrowing=narrowing,
        functions=functions,
        has_chains=loaded.profile.has_chains,
        notes=recording_notes(loaded.profile, loaded.attribution, event),
    )
