import numpy as np

from nascompiler.search.controllers.decisions import DecisionTable
from nascompiler.search.controllers.policy import Policy
from nascompiler.search.controllers.ppo import Ppo, PpoSettings, loss_and_gradients
from tests.search.synthetic import space

FOUND = space()
TABLE = DecisionTable.of(FOUND.choices)


def small_policy(spread=0.7):
    return Policy(TABLE, np.random.default_rng(0), units=5, spread=spread)


def probability(policy, vector):
    """Of one architecture, by the policy."""
    taken = policy.taken([vector])
    kept = policy.forward(taken)
    return sum(
        log_softmax[0, taken.options[0, step]]
        for step, log_softmax in enumerate(kept.log_softmax)
        if taken.exist[0, step]
    )


def test_probabilities_of_all_architectures_add_up_to_one():
    policy = small_policy()
    total = sum(np.exp(probability(policy, FOUND.encode(decisions))) for decisions in FOUND.enumerate())
    assert np.isclose(total, 1.0)


def test_drawing_and_looking_back_give_the_same_probabilities():
    policy = small_policy()
    generator = np.random.default_rng(1)
    for _ in range(20):
        vector, log_probabilities = policy.sample(generator)
        assert np.isclose(log_probabilities.sum(), probability(policy, vector))


def test_frequencies_follow_the_probabilities():
    policy = small_policy(spread=1.5)
    generator = np.random.default_rng(2)
    vectors = [policy.sample(generator)[0] for _ in range(3000)]
    first = np.exp(policy.forward(policy.taken(vectors[:1])).log_softmax[0][0])
    drawn = np.bincount([vector[0] for vector in vectors], minlength=len(first)) / len(vectors)
    assert np.abs(drawn - first).max() < 0.03


def test_gradients_are_those_of_the_loss():
    settings = PpoSettings(entropy=0.05, clip=0.2)
    policy = small_policy()
    generator = np.random.default_rng(3)
    vectors = [policy.sample(generator)[0] for _ in range(6)]
    taken = policy.taken(vectors)
    assert not taken.exist.all()
    now = np.stack([s[np.arange(6), taken.options[:, t]] for t, s in enumerate(policy.forward(taken).log_softmax)], 1)
    before = np.where(taken.exist, now + generator.normal(scale=0.3, size=now.shape), 0.0)  # some lie beyond the clip
    advantages = generator.normal(size=6)

    def loss():
        return loss_and_gradients(policy.forward(taken), before, advantages, settings)[0]

    kept = policy.forward(taken)
    gradients = policy.backward(kept, loss_and_gradients(kept, before, advantages, settings)[1])
    for name, values in policy.parameters.items():
        flat, gradient = values.reshape(-1), gradients[name].reshape(-1)
        for index in generator.choice(len(flat), size=min(12, len(flat)), replace=False):
            kept_value = flat[index]
            flat[index] = kept_value + 1e-5
            above = loss()
            flat[index] = kept_value - 1e-5
            below = loss()
            flat[index] = kept_value
            assert np.isclose(gradient[index], (above - below) / 2e-5, atol=1e-7), (name, index)


def test_the_defaults_are_those_of_the_paper():
    settings = Ppo(FOUND).settings
    assert (settings.units, settings.spread, settings.minibatch) == (100, 0.1, 20)
    assert (settings.learning_rate, settings.entropy, settings.baseline) == (0.00035, 0.00001, 0.95)
    assert Ppo.PRESETS["paper"] == {}
    assert all(np.abs(values).max() <= 0.1 for values in Ppo(FOUND).policy.parameters.values())


def test_what_was_proposed_before_is_drawn_again():
    repeated = {}
    for redraws in (0, 8):
        controller = Ppo(FOUND, seed=6, learning_rate=0.01, minibatch=10, redraws=redraws)
        vectors = []
        for _ in range(200):
            vectors.append(controller.ask())
            controller.tell(vectors[-1], float(sum(vectors[-1])))
        repeated[redraws] = len(vectors) - len(set(vectors))
    assert repeated[8] < repeated[0]


def test_what_is_rewarded_becomes_likely():
    controller = Ppo(FOUND, seed=4, learning_rate=0.01, minibatch=10)
    for _ in range(300):
        vector = controller.ask()
        controller.tell(vector, float(vector[0] == 1))
    chances = np.exp(controller.policy.forward(controller.policy.taken([vector])).log_softmax[0][0])
    assert chances[1] > 0.9
