"""Asks the twin with pymssql and python-tds, both unmodified.

Reads where the twin is from the file that the first argument names, and the queries, parted by GO,
from the second; writes one JSON object a line: which client, on which side, what it got.
"""

import json
import sys
import time

import pymssql
import pytds


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        twin = json.load(file)
    with open(sys.argv[2], encoding="utf-8") as file:
        queries = file.read().split("\nGO\n")
    for client, connect in (("pymssql", by_pymssql), ("python-tds", by_pytds)):
        for side in ("sql_server", "managed_instance"):
            with connect(twin, twin[side], "master") as connection:
                for number, query in enumerate(queries):
                    rows = ask(connection, query)
                    tell(client=client, side=side, query=number, rows=rows)
        write_and_read(twin, client, connect)
    with by_pymssql(twin, twin["sql_server"], "master") as connection:
        ask(connection, "ALTER AVAILABILITY GROUP [LinkSales] FAILOVER")
    for client, connect in (("pymssql", by_pymssql), ("python-tds", by_pytds)):
        after_failover(twin, client, connect)


def write_and_read(twin, client, connect):
    """A write on the primary is read on the secondary, which takes none itself."""
    table = "Orders_" + client.replace("-", "_")
    with connect(twin, twin["sql_server"], "Sales", autocommit=False) as connection:
        ask(connection, f"CREATE TABLE dbo.{table} (id int IDENTITY PRIMARY KEY, who nvarchar(40), paid decimal(18,2))")
        for who, paid in (("Zoë", "12.34"), (None, "0.07")):
            ask(connection, f"INSERT INTO {table} (who, paid) VALUES (%s, %s)", who, paid)
        inside = ask(connection, "SELECT @@TRANCOUNT")
        connection.commit()
        ask(connection, f"INSERT INTO {table} (who) VALUES ('nobody')")
        connection.rollback()
    read = f"SELECT id, who, paid FROM Sales.dbo.{table} ORDER BY id"
    with connect(twin, twin["managed_instance"], "Sales") as connection:
        rows = eventually(lambda: ask(connection, read), 2)
        number = refused(connection, f"INSERT INTO {table} (who) VALUES ('me')")
    tell(client=client, step="written", depth=inside, rows=rows, refused=number)


def after_failover(twin, client, connect):
    table = "Orders_" + client.replace("-", "_")
    insert = f"INSERT INTO Sales.dbo.{table} (who) VALUES ('after')"
    with connect(twin, twin["managed_instance"], "Sales") as connection:
        ask(connection, insert)
        rows = ask(connection, f"SELECT id, who FROM {table} ORDER BY id")
    with connect(twin, twin["sql_server"], "master") as connection:
        number = refused(connection, f"SELECT id FROM Sales.dbo.{table}")
    tell(client=client, step="failed over", rows=rows, refused=number)


def eventually(read, wanted):
    for _ in range(600):
        try:
            rows = read()
            if len(rows) == wanted:
                return rows
        except (pymssql.Error, pytds.Error) as error:
            if number_of(error) != 208:
                raise
        time.sleep(0.05)
    raise SystemExit("the rows do not arrive")


def refused(connection, statement):
    try:
        ask(connection, statement)
    except (pymssql.Error, pytds.Error) as error:
        return number_of(error)
    return None


def number_of(error):
    return error.args[0] if isinstance(error, pymssql.Error) else error.msg_no


def by_pymssql(_, at, database, autocommit=True):
    return pymssql.connect(
        server=at["host"],
        port=str(at["port"]),
        user=at["user"],
        password=at["password"],
        database=database,
        login_timeout=60,
        timeout=60,
        autocommit=autocommit,
    )


def by_pytds(twin, at, database, autocommit=True):
    return pytds.connect(
        dsn=at["host"],
        port=at["port"],
        user=at["user"],
        password=at["password"],
        database=database,
        cafile=twin["ca"],
        login_timeout=60,
        timeout=60,
        autocommit=autocommit,
    )


def ask(connection, query, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(query, parameters or None)
        if cursor.description is None:
            return None
        return [[shown(value) for value in row] for row in cursor.fetchall()]


def shown(value):
    return value if value is None or isinstance(value, (int, bool)) else str(value)


def tell(**said):
    print(json.dumps(said), flush=True)


main()
