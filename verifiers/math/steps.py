from verifiers.math.judgement import Judgement
from reasoner.outcomes import Outcome

MAX_QUICK_CHARS = 1000


def check_steps(text, scalars):
    return Judgement(Outcome.ABSTAINED, "todo", {})
