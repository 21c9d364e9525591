"""Connections of tests that write bytes themselves."""

import errno
import socket


def end_sending(connection: socket.socket) -> None:
    """End this side of *connection*; a peer that has reset it raises ConnectionError, as a write to it would.

    Linux reports a reset that has come before the call as ENOTCONN, for which Python has no ConnectionError.
    """
    try:
        connection.shutdown(socket.SHUT_WR)
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise
        raise ConnectionResetError(*error.args) from error
