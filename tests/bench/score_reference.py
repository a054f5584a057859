"""The score beside scikit-learn's boosting, on the same folds: `python -m tests.bench.score_reference FILE`.

Needs pandas and scikit-learn in an environment of its own; the product needs neither. Prints the boosting's
measures averaged over five seeds, and the tenths of the first, as `score_evaluate --beside` takes them.
"""

import json
import sys

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

NUMBERS = ["TotalVisits", "Total Time Spent on Website", "Page Views Per Visit"]
CATEGORIES = [
    "Lead Origin", "Lead Source", "Do Not Email", "Do Not Call", "Country", "Specialization",
    "How did you hear about X Education", "What is your current occupation",
    "What matters most to you in choosing a course", "A free copy of Mastering The Interview", "City",
    "Search", "Newspaper Article", "X Education Forums", "Newspaper", "Digital Advertisement",
    "Through Recommendations",
]  # fmt: skip


def boosting():
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    columns = ColumnTransformer([("words", encode, CATEGORIES), ("numbers", "passthrough", NUMBERS)])
    trees = HistGradientBoostingClassifier(
        max_iter=200, learning_rate=0.05, random_state=0, categorical_features=list(range(len(CATEGORIES)))
    )
    return make_pipeline(columns, trees)


def tenths(won, said):
    """(leads, average chance, won) of ten bins of equally many leads."""
    edges = np.quantile(said, np.linspace(0, 1, 11))
    which = np.clip(np.searchsorted(edges, said, side="right") - 1, 0, 9)
    bins = [which == number for number in range(10)]
    return [(int(b.sum()), float(said[b].mean()), int(won[b].sum())) for b in bins if b.any()]


def main(path: str) -> None:
    rows = pd.read_csv(path).replace({"Select": np.nan})
    won = rows["Converted"].to_numpy()
    measured, first = [], None
    for seed in range(5):
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        said = cross_val_predict(
            boosting(), rows[CATEGORIES + NUMBERS], won, cv=folds, method="predict_proba"
        )[:, 1]
        bins = tenths(won, said)
        first = first or bins
        ece = sum(abs(came / count - chance) * count for count, chance, came in bins) / len(won)
        measured.append((roc_auc_score(won, said), brier_score_loss(won, said), ece))
    auc, brier, ece = np.mean(measured, axis=0)
    print(
        json.dumps(
            {
                "name": "HistGradientBoosting",
                "auc": round(auc, 4),
                "brier": round(brier, 4),
                "ece": round(ece, 4),
                "tenths": first,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
