"""Ports for servers whose address has to be known before they start, or has to stay what it was."""
import socket

# Below the ports that the system gives to those who ask for any. A process has whole blocks of them to itself, for as
# long as it lives: a server that is stopped for a while finds its port free, whatever runs beside it.
PORTS = range(20000, 32000)
BLOCK = 60
held = []  # the first port of each block of ours, bound and nothing else
free = iter(())


def take_block():
    for first in PORTS[::BLOCK]:
        mark = socket.socket()
        try:
            mark.bind(("127.0.0.1", first))
        except OSError:
            mark.close()
            continue
        held.append(mark)
        return iter(range(first + 1, first + BLOCK))
    raise AssertionError(f"no block of ports is free between {PORTS.start} and {PORTS.stop}")


def free_port():
    global free
    while True:
        for port in free:
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    continue
        free = take_block()
