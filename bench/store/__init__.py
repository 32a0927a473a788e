"""Results: spool, MLflow store, index and table of results."""

import os

# MLflow reads these when it is imported. It would print a traceback beside each of our errors.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
# A server that does not answer: bench tries again by itself and says so.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
