SELECT CAST(DB_NAME() AS sysname) AS TABLE_QUALIFIER,
       CAST(N'dbo' AS sysname) AS TABLE_OWNER,
       t.name AS TABLE_NAME,
       c.name AS COLUMN_NAME,
       CAST({odbc type} AS smallint) AS DATA_TYPE,
       y.name AS TYPE_NAME,
       CASE WHEN c.system_type_id IN (231, 239) AND c.max_length > 0 THEN c.max_length / 2
            WHEN c.system_type_id IN (165, 167, 173, 175, 231, 239) THEN CAST(c.max_length AS int)
            ELSE CAST(c.precision AS int) END AS PRECISION,
       CAST(c.max_length AS int) AS LENGTH,
       CASE WHEN c.system_type_id IN (165, 167, 173, 175, 231, 239, 36) THEN NULL
            ELSE CAST(c.scale AS smallint) END AS SCALE,
       CASE WHEN c.system_type_id IN (48, 52, 56, 59, 62, 106, 108, 127)
            THEN CAST(10 AS smallint) END AS RADIX,
       CAST(c.is_nullable AS smallint) AS NULLABLE,
       CAST(NULL AS varchar(254)) AS REMARKS,
       CAST(NULL AS nvarchar(4000)) AS COLUMN_DEF,
       CAST({odbc type} AS smallint) AS SQL_DATA_TYPE,
       CAST(NULL AS smallint) AS SQL_DATETIME_SUB,
       CASE WHEN c.system_type_id IN (165, 167, 173, 175, 231, 239)
            THEN CAST(c.max_length AS int) END AS CHAR_OCTET_LENGTH,
       c.column_id AS ORDINAL_POSITION,
       CAST(CASE WHEN c.is_nullable = 1 THEN 'YES' ELSE 'NO' END AS varchar(254)) AS IS_NULLABLE,
       CAST(0 AS smallint) AS SS_IS_SPARSE,
       CAST(0 AS smallint) AS SS_IS_COLUMN_SET,
       CAST(0 AS smallint) AS SS_IS_COMPUTED,
       CAST(c.is_identity AS smallint) AS SS_IS_IDENTITY,
       CAST(NULL AS sysname) AS SS_UDT_CATALOG_NAME,
       CAST(NULL AS sysname) AS SS_UDT_SCHEMA_NAME,
       CAST(NULL AS sysname) AS SS_UDT_ASSEMBLY_TYPE_NAME,
       CAST(NULL AS sysname) AS SS_XML_SCHEMACOLLECTION_CATALOG_NAME,
       CAST(NULL AS sysname) AS SS_XML_SCHEMACOLLECTION_SCHEMA_NAME,
       CAST(NULL AS sysname) AS SS_XML_SCHEMACOLLECTION_NAME,
       c.system_type_id AS SS_DATA_TYPE
FROM sys.tables t
JOIN sys.columns c ON c.object_id = t.object_id
JOIN sys.types y ON y.user_type_id = c.system_type_id
WHERE (@table_name IS NULL OR t.name LIKE @table_name)
  AND (@column_name IS NULL OR c.name LIKE @column_name)
ORDER BY t.name, c.column_id
