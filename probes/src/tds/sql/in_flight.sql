-- Sessions of the given program, busy or not, and changes of an availability group by anybody.
-- One row, always. Without the permission the view would show this session only, hence the column;
-- the second permission is its heir since SQL Server 2022, older ones do not know it and say NULL.
SELECT
    @P1 AS nonce,
    COUNT(s.session_id) AS found,
    CASE
        WHEN HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER STATE') = 1 THEN 1
        WHEN HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER PERFORMANCE STATE') = 1 THEN 1
        ELSE 0
    END AS sees_sessions
FROM sys.dm_exec_sessions AS s
LEFT JOIN sys.dm_exec_requests AS r ON r.session_id = s.session_id
WHERE s.session_id <> @@SPID
    AND (s.program_name = @P2 OR r.command LIKE N'ALTER AVAILABILITY%');
