-- Whether anybody is at work in a database. Two results of at least one row each.
-- First: its id, the server's monotonic clock, and the log that was written so far. On a managed
-- instance the counters name the database by its physical name.
SELECT
    @P1 AS nonce,
    DB_ID(@P2) AS database_id,
    si.ms_ticks AS ms_ticks,
    CASE
        WHEN HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER STATE') = 1 THEN 1
        WHEN HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER PERFORMANCE STATE') = 1 THEN 1
        ELSE 0
    END AS sees_sessions,
    (
        SELECT MAX(pc.cntr_value)
        FROM sys.databases AS db
        JOIN sys.dm_os_performance_counters AS pc
            ON pc.instance_name IN (db.name, db.physical_database_name)
        WHERE db.database_id = DB_ID(@P2)
            AND pc.object_name LIKE N'%:Databases%'
            AND pc.counter_name = N'Log Bytes Flushed/sec'
    ) AS log_bytes_flushed
FROM sys.dm_os_sys_info AS si;
-- Second: who is in it, and who has a transaction open that touches it, as one in master does that
-- writes by names of three parts.
SELECT TOP (50)
    @P1 AS nonce,
    w.login_name AS login_name,
    w.program_name AS program_name,
    w.host_name AS host_name,
    COUNT(DISTINCT w.session_id) AS sessions,
    SUM(w.in_transaction) AS transactions
FROM (SELECT 1 AS one) AS anchor
LEFT JOIN (
    SELECT s.session_id, s.login_name, s.program_name, s.host_name, 0 AS in_transaction
    FROM sys.dm_exec_sessions AS s
    WHERE s.is_user_process = 1 AND s.database_id = DB_ID(@P2)
    UNION ALL
    SELECT s.session_id, s.login_name, s.program_name, s.host_name, 1 AS in_transaction
    FROM sys.dm_tran_database_transactions AS dt
    JOIN sys.dm_tran_session_transactions AS st ON st.transaction_id = dt.transaction_id
    JOIN sys.dm_exec_sessions AS s ON s.session_id = st.session_id
    WHERE s.is_user_process = 1 AND dt.database_id = DB_ID(@P2)
) AS w ON w.session_id <> @@SPID
GROUP BY w.login_name, w.program_name, w.host_name
ORDER BY sessions DESC;
