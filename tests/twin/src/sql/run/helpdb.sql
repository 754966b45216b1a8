IF @dbname IS NOT NULL AND DB_ID(@dbname) IS NULL
BEGIN
    RAISERROR (15010, 16, -1, @dbname)
    RETURN
END
SELECT d.name,
    CAST(CAST(CAST(SUM(CAST(f.size AS bigint)) / 128.0 AS numeric(15, 2)) AS nvarchar(10)) + N' MB' AS nvarchar(13)) AS db_size,
    CAST(N'sa' AS sysname) AS owner, d.database_id AS dbid,
    CONVERT(nvarchar(11), d.create_date) AS created,
    CAST(N'Status=' + d.state_desc + N', Updateability='
        + CASE WHEN d.is_read_only = 1 THEN N'READ_ONLY' ELSE N'READ_WRITE' END
        + N', UserAccess=' + d.user_access_desc + N', Recovery=' + d.recovery_model_desc
        AS nvarchar(600)) AS status,
    d.compatibility_level
FROM sys.databases d JOIN sys.master_files f ON f.database_id = d.database_id
WHERE @dbname IS NULL OR d.name = @dbname
GROUP BY d.name, d.database_id, d.create_date, d.state_desc, d.is_read_only, d.user_access_desc,
    d.recovery_model_desc, d.compatibility_level
ORDER BY d.name
IF @dbname IS NOT NULL
    SELECT f.name, f.file_id AS fileid, f.physical_name AS filename,
        CASE WHEN f.type = 0 THEN N'PRIMARY' END AS filegroup,
        CAST(CAST(CAST(f.size AS bigint) * 8 AS nvarchar(15)) + N' KB' AS nvarchar(18)) AS size,
        CAST(CASE WHEN f.max_size = -1 THEN N'Unlimited'
             ELSE CAST(CAST(f.max_size AS bigint) * 8 AS nvarchar(15)) + N' KB' END AS nvarchar(18)) AS maxsize,
        CAST(CAST(CAST(f.growth AS bigint) * 8 AS nvarchar(15)) + N' KB' AS nvarchar(18)) AS growth,
        CASE WHEN f.type = 0 THEN 'data only' ELSE 'log only' END AS usage
    FROM sys.master_files f WHERE f.database_id = DB_ID(@dbname) ORDER BY f.file_id
