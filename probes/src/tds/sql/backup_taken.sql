-- Finished full backups of that name, the newest first; at least one row. One that is not COPY_ONLY
-- is where a log chain can start from.
SELECT
    @P1 AS nonce,
    b.backup_set_id AS backup_set_id,
    DATEDIFF(second, b.backup_start_date, b.backup_finish_date) AS took_s,
    CAST(b.backup_size AS bigint) AS size_bytes,
    CAST(b.has_backup_checksums AS int) AS has_checksums,
    b.last_lsn AS last_lsn
FROM (SELECT 1 AS one) AS anchor
LEFT JOIN msdb.dbo.backupset AS b
    ON b.database_name = @P2
    AND b.type = 'D'
    AND b.is_copy_only = @P4
    AND b.name = @P3
    AND b.backup_finish_date IS NOT NULL
ORDER BY b.backup_set_id DESC;
