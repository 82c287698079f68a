"""What tables call things: one wording for an allocator with its variant, a workload, a layer."""

from collections.abc import Mapping

from hakprof.analysis.inputs import RunData


def workload_title(run: RunData, workload: str) -> str:
    known = run.project.workloads.get(workload)
    return known.title if known else workload


def allocator_title(run: RunData, allocator: str) -> str:
    if allocator == run.subject:
        return run.project.project.title or allocator
    peer = run.project.peers.get(allocator)
    return (peer.title if peer else "") or allocator


def variant_title(run: RunData, allocator: str, variant: str) -> str:
    """Empty for a peer: peers have no variants."""
    if allocator != run.subject:
        return ""
    known = run.project.variants.get(variant)
    return (known.title if known else "") or variant


def layer_meaning(titles: Mapping[str, str], layer: str) -> str:
    """What a layer is, in a few words; its own name, which stands beside it, is not repeated."""
    title = titles.get(layer, "")
    return title.removeprefix(f"{layer}:").strip()


def workload_group(run: RunData, workload: str) -> str:
    known = run.project.workloads.get(workload)
    return (known.group if known else "") or "All workloads"
