"""Asks the twin with Microsoft's ODBC Driver 18 (which its mssql-python brings along), unmodified.

Reads where the twin is from the file that the first argument names, the queries, parted by GO, from
the second, and a token of Entra from standard input; writes one JSON object a line.
"""

import datetime
import decimal
import json
import struct
import sys
import time
import uuid

import mssql_python as odbc

# The driver's attribute for a token that is at hand.
ACCESS_TOKEN = 1256

UTC = datetime.timezone.utc
COLUMNS = {
    "who": ("nvarchar(40)", "Zoë"),
    "paid": ("decimal(18,2)", decimal.Decimal("12.34")),
    "long_text": ("nvarchar(max)", "x" * 20_000 + "é"),
    "long_bytes": ("varbinary(max)", b"\x01" * 9_000),
    "ratio": ("float", 1.5),
    "at": ("datetime2(7)", datetime.datetime(2026, 1, 2, 3, 4, 5, 678_900)),
    "old": ("datetime", datetime.datetime(2026, 1, 2, 3, 4, 5, 677_000)),
    "small": ("smalldatetime", datetime.datetime(2026, 1, 2, 3, 4)),
    "id": ("uniqueidentifier", uuid.UUID(int=77)),
    "clock": ("time(3)", datetime.time(1, 2, 3, 4_000)),
    "zoned": ("datetimeoffset(3)", datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    "day": ("date", datetime.date(2026, 2, 3)),
    "many": ("bigint", 2**40),
    "yes": ("bit", True),
    "half": ("real", 0.25),
    "code": ("varchar(20)", "abc"),
    "raw": ("varbinary(8)", b"\x00\x01"),
}


def main():
    odbc.pooling(enabled=False)
    with open(sys.argv[1], encoding="utf-8") as file:
        twin = json.load(file)
    with open(sys.argv[2], encoding="utf-8") as file:
        queries = file.read().split("\nGO\n")
    token = sys.stdin.read().strip()
    for side in ("sql_server", "managed_instance"):
        ways = {how: connected(connect(twin[side], encrypt=how)) for how in ("no", "yes", "strict")}
        with by_token(twin[side], token) as connection:
            who = ask(connection, "SELECT SUSER_SNAME()")
        tell(step="connected", side=side, ways=ways, token=who)
        with connect(twin[side]) as connection:
            for number, query in enumerate(queries):
                tell(step="asked", side=side, query=number, rows=len(ask(connection, query)))
    write(twin)
    complain(twin)
    patience(twin)
    with connect(twin["sql_server"]) as connection:
        ask(connection, "ALTER AVAILABILITY GROUP [LinkSales] FAILOVER")
    with connect(twin["managed_instance"], "Sales") as connection:
        ask(connection, "INSERT Typed (who) VALUES (?)", "after")
        rows = ask(connection, "SELECT who FROM Typed ORDER BY n")
    with connect(twin["sql_server"]) as connection:
        said = refused(connection, "SELECT who FROM Sales.dbo.Typed")
    tell(step="failed over", rows=rows, refused=said)


def write(twin):
    """Every type in and out, prepared statements, transactions; and all of it on the secondary."""
    names = ", ".join(COLUMNS)
    marks = ", ".join("?" for _ in COLUMNS)
    insert = f"INSERT INTO Typed ({names}) VALUES ({marks})"
    given = [value for _, value in COLUMNS.values()]
    with connect(twin["sql_server"], "Sales", autocommit=False) as connection:
        columns = ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS.items())
        ask(connection, f"CREATE TABLE Typed (n int IDENTITY PRIMARY KEY, {columns})")
        ask(connection, insert, *given)
        ask(connection, insert, *[None for _ in given])
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO Typed (who, many) VALUES (?, ?)", [("a", 1), ("b", 2)])
        depth = ask(connection, "SELECT @@TRANCOUNT")
        connection.commit()
        ask(connection, "INSERT INTO Typed (who) VALUES (?)", "nobody")
        connection.rollback()
        with connection.cursor() as cursor:
            tables = [row[2] for row in cursor.tables(table="Typed", tableType="TABLE").fetchall()]
        with connection.cursor() as cursor:
            columns = [row[3] for row in cursor.columns(table="Typed").fetchall()]
        with connection.cursor() as cursor:
            kinds = len(cursor.getTypeInfo().fetchall())
        with connection.cursor() as cursor:
            prepared = []
            for n in range(1, 5):
                cursor.execute("SELECT n, who FROM Typed WHERE n = ?", n, use_prepare=n == 1)
                prepared += [list(row) for row in cursor.fetchall()]
    read = f"SELECT {names} FROM Sales.dbo.Typed WHERE n = ?"
    with connect(twin["managed_instance"]) as connection:
        eventually(connection, "SELECT n FROM Sales.dbo.Typed", 4)
        rows = [ask(connection, read, n)[0] for n in (1, 2)]
        differing = [name for name, was, now in zip(COLUMNS, given, rows[0]) if was != now]
        said = refused(connection, "DELETE Sales.dbo.Typed WHERE n = ?", 1)
    empty = all(value is None for value in rows[1])
    catalog = {"tables": tables, "columns": len(columns), "kinds": kinds}
    tell(
        step="written",
        depth=depth,
        prepared=prepared,
        differing=differing,
        empty=empty,
        refused=said,
        catalog=catalog,
    )


def complain(twin):
    at = twin["sql_server"]
    said = {}
    with connect(at) as connection:
        said["missing"] = refused(connection, "SELECT * FROM nothere WHERE a = ?", 1)
        said["backup"] = refused(connection, "BACKUP DATABASE Sales TO DISK = N'Z:\\none\\x.bak'")
    for what, how in (("password", {"password": "x"}), ("database", {"database": "Nope"})):
        try:
            connect({**at, **how}, how.get("database", "master")).close()
            said[what] = None
        except odbc.Error as error:
            said[what] = str(error)
    tell(step="refused", **said)


def patience(twin):
    """The driver cancels what takes too long, and the connection goes on."""
    with connect(twin["sql_server"]) as connection:
        connection.timeout = 1
        batch = refused(connection, "WAITFOR DELAY '00:30:00'")
        prepared = refused(connection, "WAITFOR DELAY '00:30:00'; SELECT ?", 1)
        tell(step="cancelled", batch=batch, prepared=prepared, after=ask(connection, "SELECT 1"))


def connect(at, database="master", encrypt="yes", autocommit=True):
    return odbc.connect(
        f"Server=tcp:{at['host']},{at['port']};Database={database};Encrypt={encrypt};"
        f"UID={at['user']};PWD={at['password']}",
        autocommit=autocommit,
        timeout=60,
    )


def by_token(at, token):
    encoded = token.encode("utf-16-le")
    return odbc.connect(
        f"Server=tcp:{at['host']},{at['port']};Database=master;Encrypt=yes",
        attrs_before={ACCESS_TOKEN: struct.pack("<I", len(encoded)) + encoded},
        autocommit=True,
        timeout=60,
    )


def connected(connection):
    with connection:
        own = "FROM sys.dm_exec_connections WHERE session_id = @@SPID"
        return ask(connection, f"SELECT encrypt_option, auth_scheme {own}")[0]


def eventually(connection, query, wanted):
    for _ in range(600):
        try:
            if len(ask(connection, query)) == wanted:
                return
        except odbc.Error as error:
            if "Invalid object name" not in str(error):
                raise
        time.sleep(0.05)
    raise SystemExit("the rows do not arrive")


def refused(connection, statement, *parameters):
    try:
        ask(connection, statement, *parameters)
    except odbc.Error as error:
        return str(error)
    return None


def ask(connection, query, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(query, *parameters)
        return [list(row) for row in cursor.fetchall()] if cursor.description else None


def tell(**said):
    print(json.dumps(said), flush=True)


main()
