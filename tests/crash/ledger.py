"""The books of a world that is crashed again and again, and what its actors found wrong.

Actors write to copies from their threads while the broker runs; the judge reads them when all
actors have ended. A copy is written by its publisher and by one consumer at a time."""

import itertools

from books import QueueBook

COMPLAINTS_MAX = 12


class Ledger:
    """The books of the queues that live as long as the world, and what the actors found wrong."""

    def __init__(self):
        self.books = {}
        self.complaints = []
        self.names = itertools.count(1)

    def book(self, name, **options):
        self.books[name] = QueueBook(name, **options)

    def complain(self, text):
        if len(self.complaints) < COMPLAINTS_MAX:
            self.complaints.append(text)

    def open_copies(self):
        """About how many messages wait, and of how many octets: publishers keep to a bound."""
        count = octets = 0
        for book in self.books.values():
            for copy in list(book.copies.values()):
                if not copy.settled:
                    count += 1
                    octets += len(copy.message.body)
        return count, octets
