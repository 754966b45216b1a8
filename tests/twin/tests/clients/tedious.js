// Asks the twin with Microsoft's tedious, unmodified.
//
// Reads where the twin is from the file that the first argument names, and the queries, parted by GO,
// from the second; writes one JSON object a line.

'use strict';

const fs = require('fs');
const { Connection, Request, TYPES } = require('tedious');

const twin = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const queries = fs.readFileSync(process.argv[3], 'utf8').split('\nGO\n');
const ca = fs.readFileSync(twin.ca);
const day = new Date('2026-01-02T03:04:05.670Z');

const COLUMNS = [
  ['who', 'nvarchar(40)', TYPES.NVarChar, 'Zoë'],
  ['paid', 'decimal(18,2)', TYPES.Decimal, 12.34, { precision: 18, scale: 2 }],
  ['long_text', 'nvarchar(max)', TYPES.NVarChar, 'x'.repeat(20000)],
  ['long_bytes', 'varbinary(max)', TYPES.VarBinary, Buffer.alloc(9000, 1)],
  ['ratio', 'float', TYPES.Float, 1.5],
  ['at', 'datetime2(7)', TYPES.DateTime2, day],
  ['old', 'datetime', TYPES.DateTime, day],
  ['small', 'smalldatetime', TYPES.SmallDateTime, new Date('2026-01-02T03:04:00Z')],
  ['id', 'uniqueidentifier', TYPES.UniqueIdentifier, '00000000-0000-0000-0000-00000000004D'],
  ['zoned', 'datetimeoffset(3)', TYPES.DateTimeOffset, day],
  ['date', 'date', TYPES.Date, new Date('2026-02-03T00:00:00Z')],
  ['many', 'bigint', TYPES.BigInt, '1099511627776'],
  ['yes', 'bit', TYPES.Bit, true],
  ['half', 'real', TYPES.Real, 0.25],
  ['code', 'varchar(20)', TYPES.VarChar, 'abc'],
  ['raw', 'varbinary(8)', TYPES.VarBinary, Buffer.from([0, 1])],
];
const NAMES = COLUMNS.map(([name]) => `[${name}]`).join(', ');

async function main() {
  for (const side of ['sql_server', 'managed_instance']) {
    const ways = {};
    for (const encrypt of [false, true, 'strict']) {
      ways[encrypt] = await refusal(async () => {
        const own = 'FROM sys.dm_exec_connections WHERE session_id = @@SPID';
        return one(twin[side], { encrypt }, `SELECT encrypt_option, net_packet_size ${own}`);
      });
    }
    const large = { packetSize: 16384 };
    const long = "SELECT REPLICATE(CAST('x' AS varchar(max)), 100000)";
    const [[text]] = await one(twin[side], large, long);
    tell({ step: 'connected', side, ways, long: text.length });
    const connection = await connect(twin[side]);
    for (const [query, text] of queries.entries()) {
      tell({ step: 'asked', side, query, rows: (await batch(connection, text)).length });
    }
    connection.close();
  }
  await write();
  await patience();
  await one(twin.sql_server, {}, 'ALTER AVAILABILITY GROUP [LinkSales] FAILOVER');
  const insert = "INSERT Sales.dbo.Typed (who) VALUES ('after'); SELECT who FROM Sales.dbo.Typed ORDER BY n";
  const rows = await one(twin.managed_instance, {}, insert);
  const refused = await refusal(() => one(twin.sql_server, {}, 'SELECT who FROM Sales.dbo.Typed'));
  tell({ step: 'failed over', rows, refused });
  process.exit(0);
}

async function write() {
  const connection = await connect(twin.sql_server, { database: 'Sales' });
  const columns = COLUMNS.map(([name, kind]) => `[${name}] ${kind}`).join(', ');
  await batch(connection, `CREATE TABLE Typed (n int IDENTITY PRIMARY KEY, ${columns})`);
  const marks = COLUMNS.map(([name]) => `@${name}`).join(', ');
  const insert = `INSERT INTO Typed (${NAMES}) VALUES (${marks})`;
  await begin(connection);
  await call(connection, insert, COLUMNS.map(([name, , type, value, how]) => [name, type, value, how]));
  await save(connection);
  await call(connection, insert, COLUMNS.map(([name, , type, , how]) => [name, type, null, how]));
  const depth = await batch(connection, 'SELECT @@TRANCOUNT');
  await commit(connection);
  await begin(connection);
  await batch(connection, "INSERT INTO Typed (who) VALUES ('nobody')");
  await rollBack(connection);
  const prepared = await runPrepared(connection);
  const output = await outputs(connection);
  await batch(connection, 'CREATE TABLE #own (a int)');
  await reset(connection);
  const afterReset = await refusal(() => batch(connection, 'SELECT a FROM #own'));
  connection.close();
  const secondary = await connect(twin.managed_instance);
  const read = `SELECT ${NAMES} FROM Sales.dbo.Typed ORDER BY n`;
  const rows = await eventually(secondary, read, 2);
  const differing = COLUMNS.filter(([, , , value], n) => !same(value, rows[0][n])).map(([name]) => name);
  const empty = rows[1].every((value) => value === null);
  const refused = await refusal(() => call(secondary, 'DELETE Sales.dbo.Typed WHERE n = @n', [['n', TYPES.Int, 1]]));
  secondary.close();
  tell({ step: 'written', depth, prepared, output, afterReset, differing, empty, refused });
}

// What takes too long, or is no longer wanted, is cancelled, and the connection goes on.
async function patience() {
  const connection = await connect(twin.sql_server, { requestTimeout: 1000 });
  const long = "WAITFOR DELAY '00:30:00'";
  const timeout = await refusal(() => batch(connection, long));
  const between = await batch(connection, 'SELECT 1');
  const cancelled = await refusal(() => {
    const going = batch(connection, long);
    setTimeout(() => connection.cancel(), 100);
    return going;
  });
  tell({ step: 'cancelled', timeout, between, cancelled, after: await batch(connection, 'SELECT 1') });
  connection.close();
}

function runPrepared(connection) {
  return new Promise((done, failed) => {
    const rows = [];
    let runs = 0;
    const request = new Request('SELECT n, who FROM Typed WHERE n = @n', (error) => {
      if (error) failed(error);
    });
    request.addParameter('n', TYPES.Int);
    request.on('row', (columns) => rows.push(columns.map((column) => column.value)));
    request.on('prepared', () => connection.execute(request, { n: 1 }));
    // Forgetting completes too.
    request.on('requestCompleted', () => {
      runs += 1;
      if (runs === 1) connection.execute(request, { n: 2 });
      if (runs === 2) connection.unprepare(request);
      if (runs === 3) done(rows);
    });
    connection.prepare(request);
  });
}

function outputs(connection) {
  return new Promise((done, failed) => {
    const values = {};
    const request = new Request("SET @sum = @n + 1; SET @text = N'hé'", (error) => (error ? failed(error) : done(values)));
    request.addParameter('n', TYPES.Int, 41);
    request.addOutputParameter('sum', TYPES.Int);
    request.addOutputParameter('text', TYPES.NVarChar, null, { length: 20 });
    request.on('returnValue', (name, value) => { values[name] = value; });
    connection.execSql(request);
  });
}

function same(given, read) {
  if (given instanceof Date) return given.getTime() === read.getTime();
  if (Buffer.isBuffer(given)) return given.equals(read);
  return given === read;
}

function connect(at, options = {}) {
  return new Promise((done, failed) => {
    const connection = new Connection({
      server: at.host,
      authentication: { type: 'default', options: { userName: at.user, password: at.password } },
      options: {
        port: at.port,
        database: 'master',
        encrypt: true,
        serverName: at.host,
        cryptoCredentialsDetails: { ca },
        connectTimeout: 60000,
        requestTimeout: 60000,
        ...options,
      },
    });
    connection.on('error', failed);
    connection.connect((error) => (error ? failed(error) : done(connection)));
  });
}

async function one(at, options, query) {
  const connection = await connect(at, options);
  try {
    return await batch(connection, query);
  } finally {
    connection.close();
  }
}

function batch(connection, text) {
  return gather(text, [], (request) => connection.execSqlBatch(request));
}

function call(connection, text, parameters) {
  return gather(text, parameters, (request) => connection.execSql(request));
}

function gather(text, parameters, send) {
  return new Promise((done, failed) => {
    const rows = [];
    const request = new Request(text, (error) => (error ? failed(error) : done(rows)));
    for (const [name, type, value, how] of parameters) request.addParameter(name, type, value, how);
    request.on('row', (columns) => rows.push(columns.map((column) => column.value)));
    send(request);
  });
}

const promised = (start) => new Promise((done, failed) => start((error) => (error ? failed(error) : done())));
const begin = (connection) => promised((then) => connection.beginTransaction(then, 'own'));
const save = (connection) => promised((then) => connection.saveTransaction(then, 'half'));
const commit = (connection) => promised((then) => connection.commitTransaction(then));
const rollBack = (connection) => promised((then) => connection.rollbackTransaction(then));
const reset = (connection) => promised((then) => connection.reset(then));

async function refusal(attempt) {
  try {
    return await attempt();
  } catch (error) {
    return error.number || error.code;
  }
}

async function eventually(connection, query, wanted) {
  for (let tries = 0; tries < 600; tries += 1) {
    const rows = await refusal(() => batch(connection, query));
    if (rows.length === wanted) return rows;
    if (rows !== 208 && !Array.isArray(rows)) throw new Error(`refused with ${rows}`);
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error('the rows do not arrive');
}

function tell(said) {
  console.log(JSON.stringify(said));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
