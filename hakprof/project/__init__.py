"""hakprof.toml → a validated :class:`Project`. Errors name the file, the key and the remedy."""

from hakprof.project.load import find_project_file, load_layer_rules, load_project, parse_project
from hakprof.project.schema import Build, LayerRule, Peer, Project, Study, Subject, Variant, Workload

__all__ = [
    "Build",
    "LayerRule",
    "Peer",
    "Project",
    "Study",
    "Subject",
    "Variant",
    "Workload",
    "find_project_file",
    "load_layer_rules",
    "load_project",
    "parse_project",
]
