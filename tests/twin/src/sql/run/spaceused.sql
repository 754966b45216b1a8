DECLARE @data bigint = (SELECT SUM(CAST(size AS bigint)) FROM sys.database_files WHERE type = 0);
DECLARE @log bigint = (SELECT SUM(CAST(size AS bigint)) FROM sys.database_files WHERE type = 1);
SELECT DB_NAME() AS database_name,
    CAST(CAST(CAST((@data + @log) / 128.0 AS numeric(15, 2)) AS varchar(15)) + ' MB' AS varchar(18)) AS database_size,
    CAST('0.00 MB' AS varchar(18)) AS [unallocated space]
SELECT CAST(CAST(@data * 8 AS varchar(15)) + ' KB' AS varchar(18)) AS reserved,
    CAST(CAST(@data * 8 AS varchar(15)) + ' KB' AS varchar(18)) AS data,
    CAST('0 KB' AS varchar(18)) AS index_size, CAST('0 KB' AS varchar(18)) AS unused
