-- Sessions of the given program, busy or not, and how far a backup of theirs has come. One row,
-- always. Without the permission the view would show this session only, hence the column.
SELECT
    @P1 AS nonce,
    COUNT(s.session_id) AS found,
    MAX(CASE WHEN r.command LIKE N'BACKUP%' THEN CAST(r.percent_complete AS int) END) AS done_percent,
    CASE
        WHEN HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER STATE') = 1 THEN 1
        WHEN HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER PERFORMANCE STATE') = 1 THEN 1
        ELSE 0
    END AS sees_sessions
FROM sys.dm_exec_sessions AS s
LEFT JOIN sys.dm_exec_requests AS r ON r.session_id = s.session_id
WHERE s.session_id <> @@SPID AND s.program_name = @P2;
