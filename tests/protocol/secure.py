"""TLS for the tests' client: sockets that answer as plain ones do, and certificates."""

import os
import socket
import ssl
import subprocess


def make_certificates(railmq, directory, *options):
    """What `railmq certs init` makes; the directory."""
    subprocess.run([railmq, 'certs', 'init', directory, *options], check=True,
                   stdout=subprocess.DEVNULL)
    return directory


def client_context(directory, shows_certificate=False):
    """Trusts the authority of that directory and nobody else."""
    context = ssl.create_default_context(cafile=os.path.join(directory, 'ca.pem'))
    if shows_certificate:
        context.load_cert_chain(os.path.join(directory, 'client.pem'),
                                os.path.join(directory, 'client-key.pem'))
    return context


class SecureSocket:
    """Reading never waits, and leaves nothing behind that select() would not see."""

    def __init__(self, sock, context, name='localhost'):
        self.ssl = context.wrap_socket(sock, server_hostname=name)

    def __getattr__(self, name):
        return getattr(self.ssl, name)

    def recv(self, count):
        timeout = self.ssl.gettimeout()
        self.ssl.settimeout(0)
        octets = b''
        try:
            octets = self.ssl.recv(count)
            while self.ssl.pending():
                octets += self.ssl.recv(count)
        except ssl.SSLWantReadError:
            if not octets:
                raise BlockingIOError from None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            pass
        finally:
            self.ssl.settimeout(timeout)
        return octets

    def send(self, octets):
        try:
            return self.ssl.send(octets)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            raise BlockingIOError from None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise BrokenPipeError(str(error)) from None

    def shutdown(self, how):
        """Of the socket below; TLS says nothing."""
        socket.socket.shutdown(self.ssl, how)
