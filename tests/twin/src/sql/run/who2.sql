SELECT CAST(s.session_id AS char(5)) AS SPID, CAST(s.status AS nvarchar(30)) AS Status,
    CAST(s.login_name AS nvarchar(128)) AS Login,
    CAST(ISNULL(s.host_name, N'  .') AS nvarchar(128)) AS HostName,
    CAST(CASE WHEN ISNULL(r.blocking_session_id, 0) = 0 THEN '  .'
         ELSE CAST(r.blocking_session_id AS varchar(5)) END AS char(5)) AS BlkBy,
    CAST(DB_NAME(s.database_id) AS nvarchar(128)) AS DBName,
    CAST(ISNULL(r.command, N'AWAITING COMMAND') AS nvarchar(32)) AS Command,
    CAST(s.cpu_time AS varchar(12)) AS CPUTime,
    CAST(s.reads + s.writes AS varchar(12)) AS DiskIO,
    CONVERT(varchar(14), s.last_request_start_time, 120) AS LastBatch,
    CAST(ISNULL(s.program_name, N'') AS nvarchar(128)) AS ProgramName,
    CAST(s.session_id AS char(5)) AS SPID, CAST('0' AS char(5)) AS REQUESTID
FROM sys.dm_exec_sessions s LEFT JOIN sys.dm_exec_requests r ON r.session_id = s.session_id
WHERE @loginame IS NULL OR s.login_name = @loginame
    OR CAST(s.session_id AS nvarchar(10)) = @loginame
    OR (@loginame = N'active' AND r.session_id IS NOT NULL)
ORDER BY s.session_id
