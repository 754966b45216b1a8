SELECT y.name AS TYPE_NAME,
       CAST({odbc type} AS smallint) AS DATA_TYPE,
       CASE WHEN y.system_type_id IN (231, 239) THEN 4000
            WHEN y.system_type_id IN (165, 167, 173, 175) THEN 8000
            ELSE CAST(y.precision AS int) END AS PRECISION,
       CAST(CASE WHEN y.system_type_id IN (231, 239) THEN 'N'''
                 WHEN y.system_type_id IN (165, 173) THEN '0x'
                 WHEN y.system_type_id IN (36, 40, 41, 42, 43, 58, 61, 167, 175) THEN ''''
                 END AS varchar(32)) AS LITERAL_PREFIX,
       CAST(CASE WHEN y.system_type_id IN (36, 40, 41, 42, 43, 58, 61, 167, 175, 231, 239) THEN ''''
                 END AS varchar(32)) AS LITERAL_SUFFIX,
       CAST(CASE WHEN y.system_type_id IN (106, 108) THEN 'precision,scale'
                 WHEN y.system_type_id IN (41, 42, 43) THEN 'scale'
                 WHEN y.system_type_id IN (165, 167, 231) THEN 'max length'
                 WHEN y.system_type_id IN (173, 175, 239) THEN 'length'
                 END AS varchar(32)) AS CREATE_PARAMS,
       CAST(1 AS smallint) AS NULLABLE,
       CAST(0 AS smallint) AS CASE_SENSITIVE,
       CAST(CASE WHEN y.system_type_id IN (167, 175, 231, 239) THEN 3 ELSE 2 END AS smallint)
           AS SEARCHABLE,
       CAST(CASE WHEN y.system_type_id = 48 THEN 1
                 WHEN y.system_type_id IN (52, 56, 59, 62, 106, 108, 127) THEN 0 END AS smallint)
           AS UNSIGNED_ATTRIBUTE,
       CAST(0 AS smallint) AS MONEY,
       CAST(CASE WHEN y.system_type_id IN (48, 52, 56, 106, 108, 127) THEN 0 END AS smallint)
           AS AUTO_INCREMENT,
       y.name AS LOCAL_TYPE_NAME,
       CAST(CASE WHEN y.system_type_id IN (48, 52, 56, 106, 108, 127) THEN 0 END AS smallint)
           AS MINIMUM_SCALE,
       CAST(CASE WHEN y.system_type_id IN (41, 42, 43) THEN 7
                 WHEN y.system_type_id IN (106, 108) THEN 38
                 WHEN y.system_type_id IN (48, 52, 56, 127) THEN 0 END AS smallint)
           AS MAXIMUM_SCALE,
       CAST({odbc type} AS smallint) AS SQL_DATA_TYPE,
       CAST(NULL AS smallint) AS SQL_DATETIME_SUB,
       CASE WHEN y.system_type_id IN (48, 52, 56, 59, 62, 106, 108, 127) THEN 10 END
           AS NUM_PREC_RADIX,
       CAST(NULL AS smallint) AS INTERVAL_PRECISION,
       CAST(0 AS smallint) AS USERTYPE
FROM sys.types y
WHERE y.system_type_id IN (36, 40, 41, 42, 43, 48, 52, 56, 58, 59, 61, 62, 98, 104, 106, 108, 127, 165, 167, 173, 175, 231, 239) AND y.user_type_id < 256
  AND (@data_type IS NULL OR @data_type = 0
       OR @data_type = {odbc type})
ORDER BY DATA_TYPE
