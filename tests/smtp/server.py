"""An SMTP server of aiosmtpd that keeps mails in a Maildir. It wants STARTTLS, and then a login.

usage: server.py PORT CERTIFICATE KEY CREDENTIALS MAILDIR
"""

import signal
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import AuthResult

port, certificate, key, credentials, maildir = sys.argv[1:]
with open(credentials, encoding="utf-8") as file:
    expected = tuple(part.encode() for part in file.read().strip().split(":", 1))


def authenticate(server, session, envelope, mechanism, given):
    """Compares the name and the password with those of the file."""
    return AuthResult(success=(given.login, given.password) == expected, handled=True)


class Keeper(Mailbox):
    """Keeps mails, and knows no `nobody`."""

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(certificate, key)
controller = Controller(
    Keeper(maildir),
    hostname="127.0.0.1",
    port=int(port),
    tls_context=context,
    require_starttls=True,
    auth_required=True,
    authenticator=authenticate,
)
# The threads of the server inherit the mask, so only this one gets the signals.
ends = {signal.SIGINT, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, ends)
controller.start()
signal.sigwait(ends)
controller.stop()
