"""Exits with 0 when something listens on a loopback port: ``python answers.py PORT``."""

from __future__ import annotations

import socket
import sys

socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=2).close()
