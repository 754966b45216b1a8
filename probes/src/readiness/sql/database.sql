-- The database @P2, and how its local copy moves. One row at least.
SELECT
    @P1 AS nonce,
    db.name AS database_name,
    db.state_desc AS state,
    db.recovery_model_desc AS recovery_model,
    db.user_access_desc AS user_access,
    CAST(db.is_read_only AS int) AS is_read_only,
    CAST(CASE WHEN db.group_database_id IS NULL THEN 0 ELSE 1 END AS int) AS in_group,
    CAST(drs.is_suspended AS int) AS is_suspended,
    drs.suspend_reason_desc AS suspend_reason
FROM (SELECT 1 AS one) AS anchor
LEFT JOIN sys.databases AS db ON db.name = @P2
LEFT JOIN sys.dm_hadr_database_replica_states AS drs
    ON drs.database_id = db.database_id AND drs.is_local = 1;
