"""Apply one method to the user's data: estimator, ``bench fit``, ``bench transform``."""
