"""A report as JSON: the same model that the templates read, numbers unrounded, keys in the model's order."""

import dataclasses
import json
import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel

from hakprof.analysis.annotation import Annotation
from hakprof.report.doctor import DoctorReport
from hakprof.report.files import FileReport
from hakprof.report.layer_report import LayerReport
from hakprof.report.model import DiffReport, Report


def to_json(report: Report | DiffReport | DoctorReport | LayerReport | Annotation | FileReport) -> str:
    """The whole report. What is not a number (NaN, infinity) becomes null: JSON has no word for it."""
    return json.dumps(_plain(report), ensure_ascii=False, indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
