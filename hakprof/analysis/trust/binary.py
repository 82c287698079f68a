"""T1: the measured binary is the one built from the named commit, sources and flags."""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from hakprof.analysis.inputs import RunData
from hakprof.analysis.trust.model import Concern, Evidence, TrustCheck, Verdict, worst, worst_first
from hakprof.model.run import BinaryInfo, BuildInfo, CellResult, Collector

TITLE = "the measured binary is the one that was built"
_REMEDY = "delete the build folder below the store and collect again; compare `hakprof runs` for the commit"


def check_binary(run: RunData) -> TrustCheck:
    """Build string, build id, and perf's own record of what was mapped, against the build that the manifest names."""
    concerns = (Concern.RESULTS, Concern.LAYERS, Concern.SYSCALLS, Concern.COUNTERS, Concern.MEMORY)
    evidence = worst_first(_deduplicated(_rows(run)))
    verdict = worst([row.verdict for row in evidence])
    bad = [row for row in evidence if row.verdict == Verdict.FAIL]
    if bad:
        found = f"{len(bad)} of {len(evidence)} checks of the binaries contradict the manifest"
        summary = f"{found}: {bad[0].what}: {bad[0].detail}."
    elif not evidence:
        summary = "The run has no binary with a build of its own, so nothing ties its numbers to a commit."
    else:
        unknown = [row for row in evidence if row.verdict == Verdict.UNKNOWN]
        commit = run.manifest.commit[:8] if run.manifest.commit else "no commit"
        state = ", with uncommitted changes (known by the sources' hash only)" if run.manifest.dirty else ""
        agreed = len(evidence) - len(unknown)
        summary = f"{agreed} checks of build strings and build ids agree with the manifest: {commit}{state}."
        if unknown:
            summary += f" Not known: {unknown[0].what}: {unknown[0].detail}."
        verdict = worst([verdict, Verdict.WARN if run.manifest.dirty else Verdict.PASS])
    return TrustCheck("T1", TITLE, verdict, summary, evidence, concerns, _REMEDY if bad else None)


def measured_object(result: CellResult) -> BinaryInfo | None:
    """The ELF file that holds the allocator under test: the preloaded library, or the program it is linked into."""
    return result.preload or result.binary


def _rows(run: RunData) -> Iterator[Evidence]:
    builds = {build.name: build for build in run.manifest.builds}
    facts = {profile.cell: profile for profile in run.profiles}
    for result in run.results:
        cell = result.cell
        measured = measured_object(result)
        if cell.allocator != run.subject or cell.build not in builds or measured is None:
            continue
        yield from _against_build(run, builds[cell.build], measured)
        if cell.collector == Collector.PERF_RECORD and cell.id in facts:
            yield from _against_perf(facts[cell.id].build_ids, measured)


def _against_build(run: RunData, build: BuildInfo, measured: BinaryInfo) -> Iterator[Evidence]:
    what = f"{PurePosixPath(measured.path).name} ({build.name})"
    built = {binary.build_id for binary in build.binaries.values() if binary.build_id}
    if measured.build_id is None:
        yield Evidence(what, "has no build id", Verdict.UNKNOWN)
    elif measured.build_id in built:
        yield Evidence(what, f"build id {measured.build_id[:12]} is one that the build produced", Verdict.PASS)
    else:
        yield Evidence(what, f"build id {measured.build_id[:12]} is not one that the build produced", Verdict.FAIL)
    if not measured.build_string:
        yield Evidence(what, "carries no build string", Verdict.UNKNOWN)
        return
    declared = run.project.builds.get(build.name)
    expected = {
        "flavour": declared.flavour if declared else None,
        "commit": run.manifest.commit,
        "sources": build.sources_sha256,
    }
    for key, value in expected.items():
        found = measured.build_string.get(key)
        if value is None or found is None:
            continue
        same = found == value or (key == "commit" and bool(found) and value.startswith(found))
        detail = f"{key} {found[:12]}" if same else f"{key} is {found[:12]}, expected {value[:12]}"
        yield Evidence(what, detail, Verdict.PASS if same else Verdict.FAIL)


def _against_perf(build_ids: Mapping[str, str], measured: BinaryInfo) -> Iterator[Evidence]:
    what = f"{PurePosixPath(measured.path).name} in perf.data"
    same_name = [
        found for path, found in build_ids.items() if PurePosixPath(path).name == PurePosixPath(measured.path).name
    ]
    if not same_name or measured.build_id is None:
        yield Evidence(what, "perf recorded no build id for it", Verdict.UNKNOWN)
    elif measured.build_id in same_name:
        yield Evidence(what, f"perf mapped build id {measured.build_id[:12]}", Verdict.PASS)
    else:
        yield Evidence(
            what, f"perf mapped {same_name[0][:12]}, measured file is {measured.build_id[:12]}", Verdict.FAIL
        )


def _deduplicated(rows: Iterator[Evidence]) -> list[Evidence]:
    return list(dict.fromkeys(rows))
