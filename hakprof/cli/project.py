"""`hakprof project`: the description of what is measured."""

from typing import Annotated

import typer

from hakprof.cli.options import ProjectOption, project_file
from hakprof.cli.output import emit


def project(
    project: ProjectOption = None,
    example: Annotated[bool, typer.Option("--example", help="Print the bundled hakprof.toml to start from.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of hakprof.toml.")] = False,
) -> None:
    """Check hakprof.toml and list its studies, or print an example or the schema."""
    import json

    from hakprof.project import Project, load_project
    from hakprof.resources import default_project_file

    if example:
        emit(default_project_file().read_text(encoding="utf-8"))
        return
    if schema:
        emit(json.dumps(Project.model_json_schema(), indent=2, sort_keys=True))
        return
    file = project_file(project)
    described = load_project(file)
    emit(f"{file}: valid; measures {described.project.name}")
    for name, study in described.studies.items():
        sizes = f"workloads {len(study.workloads)}, variants {len(study.variants)}, peers {len(study.peers)}"
        emit(f"study {name}: {study.title} ({sizes})")
