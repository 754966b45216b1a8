-- Steps of enabled, scheduled jobs that may back up the log, when that was done last, and when the
-- last full backup that a log chain can start from. Two results of at least one row each. What the steps do is judged by who asks: a step may say it in
-- many ways.
SELECT TOP (200)
    @P1 AS nonce,
    j.name AS job,
    SUBSTRING(st.command, 1, 3000) AS command
FROM (SELECT 1 AS one) AS anchor
LEFT JOIN msdb.dbo.sysjobs AS j
    ON j.enabled = 1
    AND j.job_id IN (
        SELECT js.job_id
        FROM msdb.dbo.sysjobschedules AS js
        JOIN msdb.dbo.sysschedules AS sc ON sc.schedule_id = js.schedule_id
        WHERE sc.enabled = 1
    )
LEFT JOIN msdb.dbo.sysjobsteps AS st ON st.job_id = j.job_id AND st.command LIKE N'%LOG%';
SELECT
    @P1 AS nonce,
    (
        SELECT DATEDIFF(second, MAX(b.backup_finish_date), GETDATE())
        FROM msdb.dbo.backupset AS b
        WHERE b.database_name = @P2 AND b.type = 'L'
    ) AS last_log_backup_s,
    (
        SELECT DATEDIFF(second, MAX(b.backup_finish_date), GETDATE())
        FROM msdb.dbo.backupset AS b
        WHERE b.database_name = @P2 AND b.type = 'D' AND b.is_copy_only = 0
    ) AS last_full_backup_s,
    (
        SELECT COUNT(*) FROM sys.dm_exec_sessions AS s WHERE s.program_name LIKE N'SQLAgent%'
    ) AS agent_sessions,
    CASE
        WHEN HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER STATE') = 1 THEN 1
        WHEN HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER PERFORMANCE STATE') = 1 THEN 1
        ELSE 0
    END AS sees_sessions;
