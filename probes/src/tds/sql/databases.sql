-- The asked databases with their replica rows; at least one row, even if none of them exists.
-- {names} is replaced by the parameters @P2, @P3, ... one for each database.
SELECT
    @P1 AS nonce,
    db.name AS database_name,
    CAST(db.state AS int) AS state,
    CAST(DATABASEPROPERTYEX(db.name, N'Updateability') AS nvarchar(128)) AS updateability,
    ag.name AS group_name,
    CAST(ag.is_distributed AS int) AS is_distributed,
    CAST(drs.is_local AS int) AS is_local,
    CAST(drs.is_primary_replica AS int) AS is_primary_replica,
    CAST(drs.synchronization_state AS int) AS synchronization_state,
    CAST(drs.is_suspended AS int) AS is_suspended,
    drs.suspend_reason_desc AS suspend_reason,
    drs.last_hardened_lsn AS last_hardened_lsn,
    drs.last_commit_lsn AS last_commit_lsn,
    drs.last_commit_time AS last_commit_time,
    drs.end_of_log_lsn AS end_of_log_lsn,
    drs.log_send_queue_size AS log_send_queue_kb,
    drs.redo_queue_size AS redo_queue_kb,
    drs.redo_rate AS redo_rate_kb_per_s,
    drs.secondary_lag_seconds AS lag_s
FROM (SELECT 1 AS one) AS anchor
LEFT JOIN sys.databases AS db ON db.name IN ({names})
LEFT JOIN sys.dm_hadr_database_replica_states AS drs ON drs.database_id = db.database_id
LEFT JOIN sys.availability_groups AS ag ON ag.group_id = drs.group_id;
