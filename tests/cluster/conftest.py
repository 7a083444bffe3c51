"""Fixtures of the tests of real processes."""
import pytest
from node import Node


@pytest.fixture
def stopped_node(tmp_path):
    """A node that is not started yet; ends with the test."""
    node = Node(tmp_path)
    yield node
    node.end()


@pytest.fixture
def node(stopped_node):
    stopped_node.start()
    return stopped_node
