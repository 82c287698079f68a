"""`hakprof doctor`: what this machine can measure, what is missing, and the command that mends it."""

from hakprof.cli.options import Format, FormatOption, ProjectOption, project_file
from hakprof.cli.output import emit


def doctor(project: ProjectOption = None, format: FormatOption = Format.MARKDOWN) -> None:
    """Say what can be measured here, what cannot, and how to mend that."""
    from hakprof.collect.capabilities import detect
    from hakprof.project import load_project
    from hakprof.report.doctor import assemble_doctor
    from hakprof.report.json_out import to_json
    from hakprof.report.render import render_doctor_markdown

    found = detect(load_project(project_file(project)))
    document = assemble_doctor(found.host, found.capabilities)
    emit(to_json(document) if format is Format.JSON else render_doctor_markdown(document))
