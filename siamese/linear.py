"""A linear judge: logistic regression on all features of a pair; with few labels it errs less than trees, and otherwise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PENALTY = 0.03  # scikit-learn's C, on features of unit variance: many of them say nearly the same


@dataclass(frozen=True)
class Linear:
    """Log-odds of a match, linear in the features.

    Attributes:
        fill: (f,) float64: what stands for a feature that is NaN.
        slope: (f,) float64.
        intercept: (1,) float64.
    """

    fill: NDArray[np.float64]
    slope: NDArray[np.float64]
    intercept: NDArray[np.float64]

    @classmethod
    def fit(
        cls, features: NDArray[np.float32], is_match: NDArray[np.int8], weights: NDArray[np.float64] | None = None
    ) -> "Linear":
        """Fit with an L2 penalty on (m, f) features, NaN where there is nothing to compare, (m,) labels of both classes, and the pairs'
        weights, 1 unless given."""
        from sklearn.impute import SimpleImputer  # a second to import, and only training needs it
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        imputer = SimpleImputer(strategy="median", keep_empty_features=True)
        scaler = StandardScaler()
        scaled = scaler.fit_transform(imputer.fit_transform(features.astype(np.float64)))
        model = LogisticRegression(C=PENALTY, max_iter=1000).fit(scaled, is_match, weights)
        slope = model.coef_[0] / scaler.scale_
        return cls(imputer.statistics_, slope, model.intercept_ - slope @ scaler.mean_)

    def log_odds(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """(m,) natural logarithms of the odds."""
        filled = np.where(np.isnan(features), self.fill, features)
        # Not @, whose last digits depend on where a row stands: a pair has the same odds in whatever company.
        return np.einsum("mf,f->m", filled, self.slope) + self.intercept

    def contributions(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """(m, f + 1) what each feature adds to the log-odds beside what its usual value would, and last the log-odds of the usual values:
        the medians of the training pairs, which also stand for NaN."""
        usual = float(self.fill @ self.slope + self.intercept[0])
        apart = np.where(np.isnan(features), 0.0, features - self.fill) * self.slope
        return np.column_stack([apart, np.full(len(features), usual)])

    def tensors(self) -> dict[str, NDArray]:
        return {"fill": self.fill, "slope": self.slope, "intercept": self.intercept}

    @classmethod
    def from_tensors(cls, tensors: dict[str, NDArray]) -> "Linear":
        return cls(*(tensors[name] for name in ("fill", "slope", "intercept")))
