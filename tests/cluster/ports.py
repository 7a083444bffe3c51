"""Ports for servers whose address has to be known before they start, or has to stay what it was."""
import itertools
import os
import socket

# Below the ports that the system gives to those who ask for any; each process goes through them from another place on.
PORTS = range(20000, 32000)
next_port = itertools.count(os.getpid() * 40)


def free_port():
    while True:
        port = PORTS[next(next_port) % len(PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
