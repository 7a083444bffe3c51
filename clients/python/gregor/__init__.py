"""Gregor's gRPC API: generated modules in gregor.v1, help with errors in gregor.errors."""

__version__ = "0.1.0"
