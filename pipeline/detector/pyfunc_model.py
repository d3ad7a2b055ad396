"""The model as MLflow stores it: code that reads a model's file, so that loading it runs no pickled code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel

from payeewatch.pipeline.detector.model import Model


class ScoringModel(PythonModel):  # type: ignore[misc]
    """Scores a measured frame; `mlflow.pyfunc.load_model(...).predict(frame)` returns the same as `Model.score`."""

    def load_context(self, context: Any) -> None:
        self.model = Model.load(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        # MLflow turns instants into nanoseconds where a signature is given
        return self.model.score(model_input.assign(as_of=model_input["as_of"].astype("datetime64[us]")))


mlflow.models.set_model(ScoringModel())
