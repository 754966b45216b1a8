//! Values of all types on the wire, parameters, long results, errors in between.

use tiberius::numeric::Numeric;
use tiberius::{ColumnData, ColumnType, Uuid};

use crate::door::{Doors, code, connect, number, rows, text};

#[tokio::test]
async fn every_type_arrives_as_itself() {
    let doors = Doors::open().await;
    let mut client = doors.admin(doors.sql).await;
    let query = "SELECT CAST(1 AS bit), CAST(200 AS tinyint), CAST(-2 AS smallint), CAST(-3 AS int), \
         CAST(-4 AS bigint), CAST(1.5 AS real), CAST(-2.5 AS float), \
         CAST(4200000000123456789012345 AS numeric(25,0)), CAST(-1.25 AS numeric(38,2)), \
         CAST('6F9619FF-8B86-D011-B42D-00C04FC964FF' AS uniqueidentifier), N'añ€', CAST('€' AS varchar(9)), \
         CAST(N'x' AS nvarchar(max)), 0x0A0B, CAST('2024-03-07 01:02:03.004' AS datetime), \
         CAST('2024-03-07 01:02:03.1234567' AS datetime2(7)), CAST('2024-03-07' AS date), \
         CAST('01:02:03.5' AS time(3)), CAST('2024-03-07 01:02:03 -01:30' AS datetimeoffset(0)), \
         SERVERPROPERTY('EngineEdition'), SERVERPROPERTY('ProductVersion'), SERVERPROPERTY('x')";
    let found = rows(&mut client, query).await.expect("it answers");
    let row = found.first().expect("a row");
    assert_eq!(row.try_get::<bool, _>(0).expect("bit"), Some(true));
    assert_eq!(row.try_get::<u8, _>(1).expect("tinyint"), Some(200));
    assert_eq!(row.try_get::<i16, _>(2).expect("smallint"), Some(-2));
    assert_eq!(row.try_get::<i32, _>(3).expect("int"), Some(-3));
    assert_eq!(row.try_get::<i64, _>(4).expect("bigint"), Some(-4));
    assert_eq!(row.try_get::<f32, _>(5).expect("real"), Some(1.5));
    assert_eq!(row.try_get::<f64, _>(6).expect("float"), Some(-2.5));
    let lsn: Numeric = row.try_get(7).expect("numeric").expect("not NULL");
    assert_eq!(lsn, Numeric::new_with_scale(4_200_000_000_123_456_789_012_345, 0));
    let signed: Numeric = row.try_get(8).expect("numeric").expect("not NULL");
    assert_eq!(signed, Numeric::new_with_scale(-125, 2));
    let guid: Uuid = row.try_get(9).expect("uniqueidentifier").expect("not NULL");
    assert_eq!(guid.to_string(), "6f9619ff-8b86-d011-b42d-00c04fc964ff");
    for (at, wanted) in [(10, "añ€"), (11, "€"), (12, "x"), (20, "16.0.4125.3")] {
        assert_eq!(row.try_get::<&str, _>(at).expect("text"), Some(wanted), "{at}");
    }
    assert_eq!(row.try_get::<&[u8], _>(13).expect("binary"), Some(&[10, 11][..]));
    assert_eq!(row.try_get::<i32, _>(19).expect("int in a variant"), Some(3));
    let cells: Vec<ColumnData<'static>> =
        found.into_iter().next().expect("a row").into_iter().collect();
    assert!(matches!(cells[14], ColumnData::DateTime(Some(_))), "{:?}", cells[14]);
    assert!(matches!(cells[15], ColumnData::DateTime2(Some(_))), "{:?}", cells[15]);
    assert!(matches!(cells[16], ColumnData::Date(Some(_))), "{:?}", cells[16]);
    assert!(matches!(cells[17], ColumnData::Time(Some(_))), "{:?}", cells[17]);
    assert!(matches!(cells[18], ColumnData::DateTimeOffset(Some(_))), "{:?}", cells[18]);
}

#[tokio::test]
async fn metadata_tells_the_types_of_the_views() {
    let doors = Doors::open().await;
    let mut client = doors.admin(doors.sql).await;
    let query = "SELECT database_id, is_local, synchronization_state, last_hardened_lsn, \
                 last_commit_time, log_send_queue_size, group_id, synchronization_state_desc \
                 FROM sys.dm_hadr_database_replica_states";
    let mut stream = client.simple_query(query).await.expect("it answers");
    let columns = stream.columns().await.expect("it answers").expect("columns").to_vec();
    let types: Vec<ColumnType> = columns.iter().map(tiberius::Column::column_type).collect();
    assert_eq!(
        types,
        [
            ColumnType::Int4,
            ColumnType::Bitn,
            ColumnType::Int1,
            ColumnType::Numericn,
            ColumnType::Datetimen,
            ColumnType::Int8,
            ColumnType::Guid,
            ColumnType::NVarchar,
        ]
    );
}

#[tokio::test]
async fn parameters_of_many_types_come_back() {
    let doors = Doors::open().await;
    let mut client = doors.admin(doors.sql).await;
    let long = "ö€x".repeat(3_000);
    let guid = Uuid::from_u128(7);
    let query = "SELECT @P1, @P2, @P3, @P4, @P5, @P6, @P7, @P8, @P9 WHERE @P3 = N'ÄB' AND @P1 > 6";
    let lsn = Numeric::new_with_scale(42_000_000_370_400_001, 0);
    let stream = client
        .query(
            query,
            &[
                &7_i32,
                &Option::<i32>::None,
                &"äb",
                &long.as_str(),
                &true,
                &2.5_f64,
                &guid,
                &&[1_u8, 2][..],
                &lsn,
            ],
        )
        .await
        .expect("it answers");
    let row = stream.into_row().await.expect("it answers").expect("a row");
    assert_eq!(row.try_get::<i32, _>(0).expect("int"), Some(7));
    assert_eq!(row.try_get::<i32, _>(1).expect("int"), None);
    assert_eq!(row.try_get::<&str, _>(2).expect("text"), Some("äb"));
    assert_eq!(row.try_get::<&str, _>(3).expect("text"), Some(long.as_str()));
    assert_eq!(row.try_get::<bool, _>(4).expect("bit"), Some(true));
    assert_eq!(row.try_get::<f64, _>(5).expect("float"), Some(2.5));
    assert_eq!(row.try_get::<Uuid, _>(6).expect("guid"), Some(guid));
    assert_eq!(row.try_get::<&[u8], _>(7).expect("binary"), Some(&[1, 2][..]));
    assert_eq!(row.try_get::<Numeric, _>(8).expect("numeric"), Some(lsn));
}

#[tokio::test]
async fn long_results_cross_packets_of_any_size() {
    let doors = Doors::open().await;
    for size in [512, 4_096, 32_767] {
        let mut config = doors.config(doors.sql, "sa", "S3cret!");
        config.packet_size(size);
        let mut client = connect(config).await.expect("a login");
        let query = "SELECT a.*, REPLACE(N'0123456789', N'0', CAST(N'x' AS nvarchar(max))) AS more \
                     FROM sys.databases a CROSS JOIN sys.databases b CROSS JOIN sys.databases c";
        let found = rows(&mut client, query).await.expect("it answers");
        assert_eq!(found.len(), 125, "{size}");
        let last = found.last().expect("rows");
        assert_eq!(last.try_get::<&str, _>("more").expect("text"), Some("x123456789"));
        assert_eq!(last.try_get::<&str, _>("name").expect("text"), Some("Sales"));
    }
}

#[tokio::test]
async fn errors_leave_the_connection_usable_unless_they_are_fatal() {
    let doors = Doors::open().await;
    let mut client = doors.admin(doors.sql).await;
    for (query, wanted) in [
        ("SELECT 1 FROM nowhere", 208),
        ("SELECT nothing FROM sys.databases", 207),
        ("SELEC * FROM x", 102),
        ("SELECT 1 / 0", 8_134),
        ("RAISERROR(N'as asked', 16, 5)", 50_000),
        ("EXEC sp_nothing", 2_812),
        ("ALTER AVAILABILITY GROUP [nowhere] FAILOVER", 15_151),
    ] {
        assert_eq!(code(rows(&mut client, query).await), wanted, "{query}");
        assert_eq!(number(&mut client, "SELECT 7").await, 7, "after {query}");
    }
    let failed = match client.query("SELECT @P1 / 0", &[&1_i32]).await {
        Ok(stream) => stream.into_row().await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert_eq!(code(failed), 8_134);
    assert_eq!(number(&mut client, "SELECT 8").await, 8);
    assert_eq!(code(rows(&mut client, "RAISERROR(N'the end', 20, 1) WITH LOG").await), 50_000);
    let after = rows(&mut client, "SELECT 9").await.expect_err("the connection is closed");
    assert!(matches!(after, tiberius::error::Error::Io { .. }), "{after}");
}

#[tokio::test]
async fn several_results_and_transactions() {
    let doors = Doors::open().await;
    let mut client = doors.admin(doors.sql).await;
    let query = "DECLARE @a int = 1; SELECT @a; SET @a = @a + 1; SELECT @a, N'two' WHERE 1 = 0; \
                 PRINT N'between'; SELECT @a";
    let results =
        client.simple_query(query).await.expect("it answers").into_results().await.expect("whole");
    let lengths: Vec<usize> = results.iter().map(Vec::len).collect();
    assert_eq!(lengths, [1, 0, 1]);
    client.begin_transaction().await.expect("begun");
    assert_eq!(number(&mut client, "SELECT @@TRANCOUNT").await, 1);
    client.commit_transaction().await.expect("committed");
    client.begin_transaction().await.expect("begun");
    client.rollback_transaction().await.expect("rolled back");
    assert_eq!(number(&mut client, "SELECT @@TRANCOUNT").await, 0);
    assert_eq!(text(&mut client, "USE msdb SELECT DB_NAME()").await, "msdb");
    assert_eq!(text(&mut client, "SELECT DB_NAME()").await, "msdb");
}
