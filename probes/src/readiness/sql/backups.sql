-- The newest backups of the database @P2 that belong to its chain, and what time it is there: times
-- in msdb are in the server's local time. One row, always.
SELECT
    @P1 AS nonce,
    MAX(CASE WHEN b.type = 'D' AND b.is_copy_only = 0 THEN b.backup_finish_date END) AS full_at,
    MAX(CASE WHEN b.type = 'L' THEN b.backup_finish_date END) AS log_at,
    GETDATE() AS local_time
FROM msdb.dbo.backupset AS b
WHERE b.database_name = @P2;
