//! Queries: types, names, operators, joins, groups.

use expect_test::{Expect, expect};

use super::run;

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&run(text));
}

#[test]
fn literals_have_the_types_of_the_server() {
    check(
        "SELECT 1 a, 2147483648 b, 1.50 c, 1e3 d, 'x' e, N'xy' f, 0x4142 g, NULL h, -1 i, '' j",
        expect![[r#"
            a int not null | b numeric(10,0) not null | c numeric(3,2) not null | d float not null | e varchar(1) not null | f nvarchar(2) not null | g varbinary(2) not null | h int | i int not null | j varchar(1) not null
            1 | 2147483648 | 1.50 | 1000 | x | xy | AB | NULL | -1 | 
        "#]],
    );
    check(
        "SELECT CAST(1 AS bit) a, CAST('2024-03-07' AS datetime) b, CAST(N'2024-03-07 01:02:03.1234567' AS datetime2(3)) c, \
         CAST('6F9619FF-8B86-D011-B42D-00C04FC964FF' AS uniqueidentifier) d, CAST(1 AS sql_variant) e, \
         CONVERT(varchar(30), CAST('2024-03-07 01:02:03.4' AS datetime), 121) f, CAST(12.345 AS numeric(5,1)) g, \
         CAST('2024-03-07T01:02:03+02:00' AS datetimeoffset(0)) h, CAST(N'abc' AS nvarchar(max)) i, CAST(5 AS decimal(25, 0)) j, \
         CAST('12:30' AS time(0)) k, CAST(3 AS smallint) l, CAST(getdate() AS date) m, CAST('a' AS char(3)) n, CAST(1 AS float) o, \
         CONVERT([int], '7') p, CAST('x' AS sysname) q",
        expect![[r#"
            a bit not null | b datetime not null | c datetime2(3) not null | d uniqueidentifier not null | e sql_variant not null | f varchar(30) not null | g numeric(5,1) not null | h datetimeoffset(0) not null | i nvarchar(max) not null | j numeric(25,0) not null | k time(0) not null | l smallint not null | m date not null | n char(3) not null | o float not null | p int not null | q nvarchar(128) not null
            1 | 2024-03-07 00:00:00.000 | 2024-03-07 01:02:03.123 | 6F9619FF-8B86-D011-B42D-00C04FC964FF | 1 | 2024-03-07 01:02:03.400 | 12.3 | 2024-03-07 01:02:03 +02:00 | abc | 5 | 12:30:00 | 3 | 2026-03-02 | a   | 1 | 7 | x
        "#]],
    );
}

#[test]
fn arithmetic_follows_the_documented_types() {
    check(
        "SELECT 7 / 2 a, 7 % 4 b, 7.0 / 2 c, 1.5 * 2.25 d, 'a' + N'b' e, 1 + '2' f, -7 / 2 g",
        expect![[r#"
        a int not null | b int not null | c numeric(7,6) not null | d numeric(6,3) not null | e nvarchar(2) not null | f int not null | g int not null
        3 | 3 | 3.500000 | 3.375 | ab | 3 | -3
    "#]],
    );
    check(
        "SELECT CAST(37000000012300001 AS numeric(25,0)) - CAST(37000000012300000 AS numeric(25,0)) a",
        expect![[r#"
        a numeric(26,0) not null
        1
    "#]],
    );
    check(
        "SELECT 1 / 0",
        expect![[r#"
        Msg 8134, Level 16, State 1, Line 1: Divide by zero error encountered.
    "#]],
    );
    check(
        "SELECT 2147483647 + 1",
        expect![[r#"
        Msg 8115, Level 16, State 2, Line 1: Arithmetic overflow error converting expression to data type int.
    "#]],
    );
    check(
        "SELECT 'a' * 2",
        expect![[r#"
        Msg 245, Level 16, State 1, Line 1: Conversion failed when converting the varchar value 'a' to data type int.
    "#]],
    );
    check(
        "SELECT CAST('x' AS int)",
        expect![[r#"
        Msg 245, Level 16, State 1, Line 1: Conversion failed when converting the varchar value 'x' to data type int.
    "#]],
    );
    check(
        "SELECT TRY_CAST('x' AS int) a, TRY_CONVERT(int, '5') b",
        expect![[r#"
        a int | b int
        NULL | 5
    "#]],
    );
    check(
        "SELECT 6 & 3 a, 6 | 3 b, 6 ^ 3 c, CAST(1 AS bit) | CAST(0 AS bit) d",
        expect![[r#"
        a int not null | b int not null | c int not null | d bit not null
        2 | 7 | 5 | 1
    "#]],
    );
    check(
        "SELECT CAST('2024-03-07' AS datetime) + 1.5 a, CAST('2024-03-07' AS datetime2) + 1",
        expect![[r#"
        Msg 402, Level 16, State 1, Line 1: The data types datetime2 and int are incompatible in the add operator.
    "#]],
    );
}

#[test]
fn long_numbers_differ_in_their_last_digit() {
    check(
        "SELECT CASE WHEN CAST(4200000000123456789012345 AS numeric(25,0)) = 4200000000123456789012346 THEN 'same' ELSE 'differ' END a, \
         CASE WHEN CAST(4200000000123456789012345 AS numeric(25,0)) < 4200000000123456789012346 THEN 1 ELSE 0 END b",
        expect![[r#"
            a varchar(6) not null | b int not null
            differ | 1
        "#]],
    );
}

#[test]
fn text_compares_without_case() {
    check(
        "SELECT CASE WHEN 'PRIMARY ' = N'primary' THEN 1 ELSE 0 END a, CASE WHEN 'abc' LIKE 'A_[b-d]%' THEN 1 ELSE 0 END b, \
         CASE WHEN '50%' LIKE '%!%' ESCAPE '!' THEN 1 ELSE 0 END c, CASE WHEN 'x' LIKE '[^x]' THEN 1 ELSE 0 END d, \
         CASE WHEN NULL = NULL THEN 1 ELSE 0 END e, CASE WHEN 'b' BETWEEN 'A' AND 'C' THEN 1 ELSE 0 END f, \
         CASE WHEN 3 NOT IN (1, 2) THEN 1 ELSE 0 END g, CASE WHEN 3 NOT IN (1, NULL) THEN 1 ELSE 0 END h",
        expect![[r#"
            a int not null | b int not null | c int not null | d int not null | e int not null | f int not null | g int not null | h int not null
            1 | 1 | 1 | 0 | 0 | 1 | 1 | 0
        "#]],
    );
}

#[test]
fn functions_of_text_and_time() {
    check(
        "SELECT LEN('ab ') a, UPPER(N'ab') b, SUBSTRING('abcdef', 2, 3) c, LEFT('abc', 2) d, RIGHT('abc', 2) e, \
         CHARINDEX('C', 'abc') f, REPLACE('aXbx', 'x', '-') g, CONCAT('a', NULL, 1) h, QUOTENAME('a]b') i, \
         ISNULL(NULL, 5) j, COALESCE(NULL, 2.5, 1) k, NULLIF(1, 1) l, IIF(1 = 1, 'y', 'nn') m, LTRIM(RTRIM(' x ')) n, \
         ABS(-5) o, FLOOR(-1.5) p, CEILING(1.2) q, ROUND(2.345, 2) r, DATALENGTH(N'ab') s, TRIM(' t ') t",
        expect![[r#"
            a int not null | b nvarchar(2) not null | c varchar(6) not null | d varchar(3) not null | e varchar(3) not null | f int not null | g varchar(max) not null | h varchar(25) not null | i nvarchar(258) | j int not null | k numeric(11,1) not null | l int | m varchar(2) not null | n varchar(3) not null | o int not null | p numeric(2,0) not null | q numeric(2,0) not null | r numeric(4,3) not null | s int not null | t varchar(3) not null
            2 | AB | bcd | ab | bc | 3 | a-b- | a1 | [a]]b] | 5 | 2.5 | NULL | y | x | 5 | -2 | 2 | 2.350 | 4 | t
        "#]],
    );
    check(
        "SELECT DATEDIFF(second, '2024-03-07 00:00:00.9', '2024-03-07 00:00:01.1') a, DATEDIFF(day, '20240228', '20240301') b, \
         DATEADD(month, 1, CAST('2024-01-31' AS datetime)) c, DATEPART(weekday, '20240307') d, YEAR('20240307') e, \
         DATEDIFF_BIG(ms, '19000101', '20240101') f, DATEADD(hour, -1, '2024-03-07T00:30:00') g",
        expect![[r#"
            a int not null | b int not null | c datetime not null | d int not null | e int not null | f bigint not null | g datetime not null
            1 | 2 | 2024-02-29 00:00:00.000 | 5 | 2024 | 3913056000000 | 2024-03-06 23:30:00.000
        "#]],
    );
    check(
        "SELECT DATEDIFF(ms, '19000101', '20240101')",
        expect![[r#"
        Msg 535, Level 16, State 1, Line 1: The datediff function resulted in an overflow. The number of dateparts separating two date/time instances is too large. Try to use datediff with a less precise datepart.
    "#]],
    );
    check(
        "SELECT DATEDIFF(fortnight, '19000101', '20240101')",
        expect![[r#"
        Msg 155, Level 15, State 1, Line 1: 'fortnight' is not a recognized datediff option.
    "#]],
    );
    check(
        "SELECT GETDATE() a, GETUTCDATE() b, SYSDATETIMEOFFSET() c, SYSUTCDATETIME() d, CURRENT_TIMESTAMP e, \
         CAST('2024-07-01 12:00' AS datetime2(0)) AT TIME ZONE 'W. Europe Standard Time' f, \
         CAST('2024-07-01 12:00' AS datetime2(0)) AT TIME ZONE 'W. Europe Standard Time' AT TIME ZONE 'UTC' g, CURRENT_TIMEZONE_ID() h",
        expect![[r#"
            a datetime not null | b datetime not null | c datetimeoffset(7) not null | d datetime2(7) not null | e datetime not null | f datetimeoffset(0) not null | g datetimeoffset(0) not null | h varchar(128) not null
            2026-03-02 11:01:00.250 | 2026-03-02 10:01:00.250 | 2026-03-02 11:01:00.2500000 +01:00 | 2026-03-02 10:01:00.2500000 | 2026-03-02 11:01:00.250 | 2024-07-01 12:00:00 +02:00 | 2024-07-01 10:00:00 +00:00 | W. Europe Standard Time
        "#]],
    );
}

#[test]
fn functions_of_the_server() {
    check(
        "SELECT @@SERVERNAME a, @@SPID b, DB_ID() c, DB_ID(N'MSDB') d, DB_ID(N'nowhere') e, DB_NAME() f, DB_NAME(4) g, SUSER_SNAME() h, \
         APP_NAME() i, HOST_NAME() j, IS_SRVROLEMEMBER('sysadmin') k, HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER STATE') l, \
         @@TRANCOUNT m, sys.fn_hadr_is_primary_replica('master') n, USER_ID() o, USER_ID(N'nobody') p",
        expect![[r#"
            a nvarchar(128) | b smallint not null | c smallint | d smallint | e smallint | f nvarchar(128) | g nvarchar(128) | h nvarchar(128) | i nvarchar(128) | j nvarchar(128) | k int | l int | m int not null | n bit | o int | p int
            SQL01 | 53 | 1 | 4 | NULL | master | msdb | sa | bench | host | 1 | 1 | 0 | NULL | 1 | NULL
        "#]],
    );
    check(
        "SELECT SERVERPROPERTY('ProductVersion') a, CAST(SERVERPROPERTY('EngineEdition') AS int) b, \
         SERVERPROPERTY('nothing') c, SQL_VARIANT_PROPERTY(SERVERPROPERTY('IsHadrEnabled'), 'BaseType') d, \
         CONVERT(nvarchar(128), SERVERPROPERTY('ProductUpdateLevel')) e, DATABASEPROPERTYEX('master', 'Updateability') f",
        expect![[r#"
            a sql_variant | b int | c sql_variant | d sql_variant | e nvarchar(128) | f sql_variant
            16.0.4125.3 | 3 | NULL | int | CU13 | READ_WRITE
        "#]],
    );
    check(
        "SELECT 1 WHERE SERVERPROPERTY('IsHadrEnabled') = 1",
        expect![[r#"
         int not null
        1
    "#]],
    );
    check(
        "SELECT 1 + SERVERPROPERTY('IsHadrEnabled')",
        expect![[r#"
        Msg 402, Level 16, State 1, Line 1: The data types int and sql_variant are incompatible in the add operator.
    "#]],
    );
}

#[test]
fn words_and_settings_of_the_session() {
    check(
        "SET NOCOUNT ON; SELECT SYSTEM_USER a, CURRENT_USER b, @@LANGUAGE c, @@OPTIONS d, @@DATEFIRST e, CHOOSE(2, 'x', N'yy') f, CHOOSE(3, 1, 2) g",
        expect![[r#"
            done
            a nvarchar(128) | b nvarchar(128) | c nvarchar(128) not null | d int not null | e tinyint not null | f nvarchar(2) | g int
            sa | dbo | us_english | 5944 | 7 | yy | NULL
            done
        "#]],
    );
}
