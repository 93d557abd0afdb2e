from .actions import answer_question as answer_question
from .command import add_audit as add_audit
from .mlflow import rebuild_runs as rebuild_runs
from .results_folder import ResultsFolder as ResultsFolder
