"""`hakprof doctor`: what this machine can measure, what is missing, and the command that mends it."""

from hakprof.cli.options import Format, FormatOption, ProjectOption, project_file
from hakprof.cli.output import emit


def doctor(project: ProjectOption = None, format: FormatOption = Format.MARKDOWN) -> None:
    """Say what can be measured here, what cannot, and how to mend that."""
    from hakprof import pipeline
    from hakprof.project import load_project

    emit(pipeline.render_doctor(load_project(project_file(project)), format=format.value))
