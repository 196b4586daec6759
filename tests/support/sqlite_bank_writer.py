"""Moves money between accounts of ``build_bank``'s database until a line arrives on standard input."""

import contextlib
import random
import select
import sqlite3
import sys


def transfer(connection: sqlite3.Connection) -> None:
    amount, (giver, taker) = random.randint(1, 50), random.sample(range(200), 2)
    first, second = random.sample(range(6000), 2)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE accounts SET balance = balance - ? WHERE id = ?", (amount, giver))
    connection.execute("UPDATE ledger SET moved = moved - ? WHERE id = ?", (amount, first))
    connection.execute("UPDATE accounts SET balance = balance + ? WHERE id = ?", (amount, taker))
    connection.execute("UPDATE ledger SET moved = moved + ? WHERE id = ?", (amount, second))
    connection.execute("COMMIT")


def main() -> None:
    committed = 0
    with contextlib.closing(sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA wal_autocheckpoint = 50")
        transfer(connection)
        sys.stdout.write("writing\n")
        sys.stdout.flush()
        while not select.select([sys.stdin], [], [], 0)[0]:
            transfer(connection)
            committed += 1
    sys.stdout.write(f"{committed}\n")


if __name__ == "__main__":
    main()
