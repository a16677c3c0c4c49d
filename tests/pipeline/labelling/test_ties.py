"""Transitivity, against networkx."""

import networkx as nx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.labelling.answers import Answer
from pipeline.labelling.ties import BY_RULE, Ties

NAMES = [f"r{number}" for number in range(9)]
pair = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).filter(lambda each: each[0] < each[1])
labelled = st.dictionaries(pair, st.sampled_from([0, 1, None]), max_size=20)


@given(labelled)
def test_what_follows_is_what_components_say(labels):
    ties = Ties([Answer(*pair, label) for pair, label in labels.items()])
    graph = nx.Graph()
    graph.add_nodes_from(name for pair, label in labels.items() if label is not None for name in pair)
    graph.add_edges_from(pair for pair, label in labels.items() if label == 1)
    group = {name: number for number, part in enumerate(nx.connected_components(graph)) for name in part}
    apart = {frozenset(group[name] for name in pair) for pair, label in labels.items() if label == 0}
    torn = {number for held in apart if len(held) == 1 for number in held}
    every = [(a, b) for a in NAMES for b in NAMES if a < b]
    found = ties.derive(*(np.array(side, object) for side in zip(*every, strict=True)))
    for (left, right), label in zip(every, found, strict=True):
        known = left in group and right in group and not {group[left], group[right]} & torn
        same = known and group[left] == group[right]
        other = known and frozenset((group[left], group[right])) in apart
        assert label == (1 if same else 0 if other else -1)


@given(labelled)
def test_contradictions_are_imposites_within_a_group_and_come_with_the_shortest_chain(labels):
    ties = Ties([Answer(*pair, label) for pair, label in labels.items()])
    graph = nx.Graph()
    graph.add_nodes_from(NAMES)
    graph.add_edges_from(pair for pair, label in labels.items() if label == 1)
    wrong = {pair for pair, label in labels.items() if label == 0 and nx.has_path(graph, *pair)}
    found = ties.contradictions()
    assert {(each.left_id, each.right_id) for each in found} == wrong
    for each in found:
        assert (each.chain[0], each.chain[-1]) == (each.left_id, each.right_id)
        assert all(graph.has_edge(*link) for link in each.pairs()[1:])
        assert len(each.chain) == nx.shortest_path_length(graph, each.left_id, each.right_id) + 1
        assert each.left_id in each.text


of_tables = st.dictionaries(
    st.tuples(st.sampled_from(NAMES[:5]), st.sampled_from(NAMES[:5])), st.sampled_from([0, 1, None])
)


@given(of_tables)
def test_an_id_that_is_in_two_tables_names_two_records(labels):
    """All that is said is what is said of the same records under ids of their own."""

    def own(left, right):
        return f"left {left}", f"right {right}"

    ties = Ties([Answer(*pair, label) for pair, label in labels.items()], of_two=True)
    other = Ties([Answer(*own(*pair), label) for pair, label in labels.items()])
    assert {own(*pair): label for pair, label in ties.labels.items()} == other.labels
    every = [(a, b) for a in NAMES for b in NAMES]
    sides, marked = (np.array(pairs, object).T for pairs in (every, [own(*pair) for pair in every]))
    assert np.array_equal(ties.derive(*sides), other.derive(*marked))
    found, wanted = ties.contradictions(), other.contradictions()
    assert [each.chain for each in found] == [tuple(name.split()[1] for name in each.chain) for each in wanted]
    assert all(pair in labels for each in found for pair in each.pairs())


def test_people_outvote_rules_and_each_other():
    rule = Answer("a", "b", 1, by=BY_RULE)
    assert Ties([rule]).labels == {("a", "b"): 1}
    assert Ties([rule, Answer("b", "a", 0, by="ann")]).labels == {("a", "b"): 0}
    assert Ties([rule, Answer("a", "b", None, by="ann")]).labels == {}
    split = Ties([Answer("a", "b", 0, by="ann"), Answer("a", "b", 1, by="ben")])
    assert split.labels == {}
    assert split.contradictions()[0].text == "'a' and 'b' are called a match and no match"
    outvoted = Ties([Answer("a", "b", 0, by="ann"), Answer("a", "b", 1, by="ben"), Answer("b", "a", 1, by="cy")])
    assert outvoted.labels == {("a", "b"): 1}


def test_who_is_unsure_labels_nothing_and_was_asked():
    ties = Ties([Answer("a", "b", None, by="ann")])
    assert ties.unsure == {("a", "b")} and ("b", "a") in ties.asked and not ties.labels
