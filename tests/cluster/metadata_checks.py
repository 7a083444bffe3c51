"""What must hold of the metadata whatever happened to the nodes: each function returns what is wrong, as sentences.

A history is a list of Operation in the order in which one client did them; of one topic's name there is one client, and
nothing follows an operation on it whose outcome is unknown.
"""
import dataclasses


@dataclasses.dataclass
class Operation:
    kind: str  # create, delete
    topic: str
    partitions: int
    began: float  # monotonic seconds, of the first try
    ended: float = 0.0
    acknowledged: bool = False  # else nobody knows: what was certainly not done is not in the history
    tries: int = 0


def expected(history):
    """{topic: the partition counts that it may have at the end}; 0 stands for none."""
    allowed = {}
    for operation in history:
        after = operation.partitions if operation.kind == "create" else 0
        before = allowed.get(operation.topic, {0})
        allowed[operation.topic] = {after} if operation.acknowledged else before | {after}
    return allowed


def check_topics(history, seen, who):
    """`seen`: {topic: indexes of its partitions} as `who` tells it."""
    problems = []
    allowed = expected(history)
    for topic, counts in allowed.items():
        indexes = seen.get(topic, [])
        if indexes != list(range(len(indexes))):
            problems.append(f"half done: {who} has of {topic} only the partitions {indexes}")
        elif len(indexes) not in counts:
            problems.append(f"lost: {who} has {len(indexes)} partitions of {topic}, which may have {sorted(counts)}")
    for topic in seen.keys() - allowed.keys():
        problems.append(f"{who} has a topic that nobody made: {topic}")
    return problems


def check_views(views):
    """`views`: {who: [how far its metadata were, as it was asked]} of processes that were not restarted."""
    return [f"{who} went back from {before} to {after}" for who, versions in views.items()
            for before, after in zip(versions, versions[1:]) if after < before]


def records(dump):
    """{offset: record} of a dump of the metadata."""
    return {line["offset"]: line for line in dump if "offset" in line}


def check_logs(dumps):
    """`dumps`: {who: dump}. Every log is dense, its terms only rise, and two logs agree wherever both have something."""
    problems = []
    logs = {who: records(dump) for who, dump in dumps.items()}
    for who, log in logs.items():
        offsets = list(log)
        if offsets and offsets != list(range(offsets[0], offsets[0] + len(offsets))):
            problems.append(f"the log of {who} has holes")
        terms = [line["term"] for line in log.values()]
        if terms != sorted(terms):
            problems.append(f"terms go back in the log of {who}")
    names = list(logs)
    for index, one in enumerate(names):
        for other in names[index + 1:]:
            for offset in sorted(logs[one].keys() & logs[other].keys()):
                if logs[one][offset] != logs[other][offset]:
                    problems.append(f"a fork: at offset {offset} {one} has {logs[one][offset]}, {other} has {logs[other][offset]}")
                    break
    return problems


def check_leaders(dumps):
    """One leader a term."""
    problems, leaders = [], {}
    for who, dump in dumps.items():
        for line in records(dump).values():
            change = line["record"].get("leader_change")
            if change is None:
                continue
            if leaders.setdefault(line["term"], change) != change:
                problems.append(f"two leaders in term {line['term']}: {leaders[line['term']]}, and {change} in the log of {who}")
    return problems


def term(dump):
    """Of the node's vote."""
    return next(line["node"]["term"] for line in dump if "node" in line)


def image(dump):
    """What the records mean, without what is the node's own."""
    return [line for line in dump if "node" not in line and "offset" not in line]


def check_images(dumps):
    """Who has the same log makes the same of it. REQUIRES: the dumps are whole."""
    by_end = {}
    problems = []
    for who, dump in dumps.items():
        first, seen = by_end.setdefault(max(records(dump), default=0), (who, image(dump)))
        if image(dump) != seen:
            problems.append(f"{who} and {first} make different things of the same log")
    return problems


def check_dumps(dumps):
    return check_logs(dumps) + check_leaders(dumps) + check_images(dumps)


def find_problems(quorum, history):
    """(what is wrong at the end, the dumps): asked of every node while all run, then read from their files. Kills the nodes."""
    problems = []
    quorum.await_level()
    for node in quorum.nodes:
        problems += check_topics(history, node.list_topics(), f"node {node.number}")
    quorum.kill()
    dumps = quorum.dump()
    return problems + check_dumps(dumps), dumps


def conclude(quorum, history):
    """Returns the dumps where nothing is wrong."""
    problems, dumps = find_problems(quorum, history)
    assert problems == [], problems[:20]
    return dumps
