-- Sessions of the given program, busy or not, and changes of an availability group by anybody.
-- One row, always. Without the permission the view would show this session only, hence the column.
SELECT
    @P1 AS nonce,
    COUNT(s.session_id) AS found,
    HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER STATE') AS sees_sessions
FROM sys.dm_exec_sessions AS s
LEFT JOIN sys.dm_exec_requests AS r ON r.session_id = s.session_id
WHERE s.session_id <> @@SPID
    AND (s.program_name = @P2 OR r.command LIKE N'ALTER AVAILABILITY%');
