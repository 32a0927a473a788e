"""One method on data of the user: estimator, ``bench fit``, ``bench transform``."""
