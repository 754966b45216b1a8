SELECT y.name AS TYPE_NAME,
       CAST(CASE y.system_type_id
           WHEN 36 THEN -11
           WHEN 40 THEN 91
           WHEN 41 THEN -154
           WHEN 42 THEN 93
           WHEN 43 THEN -155
           WHEN 48 THEN -6
           WHEN 52 THEN 5
           WHEN 56 THEN 4
           WHEN 58 THEN 93
           WHEN 59 THEN 7
           WHEN 61 THEN 93
           WHEN 62 THEN 6
           WHEN 98 THEN -150
           WHEN 104 THEN -7
           WHEN 106 THEN 3
           WHEN 108 THEN 2
           WHEN 127 THEN -5
           WHEN 165 THEN -3
           WHEN 167 THEN 12
           WHEN 173 THEN -2
           WHEN 175 THEN 1
           WHEN 231 THEN -9
           WHEN 239 THEN -8
           ELSE 0 END AS smallint) AS DATA_TYPE,
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
       CAST(CASE y.system_type_id
           WHEN 36 THEN -11
           WHEN 40 THEN 91
           WHEN 41 THEN -154
           WHEN 42 THEN 93
           WHEN 43 THEN -155
           WHEN 48 THEN -6
           WHEN 52 THEN 5
           WHEN 56 THEN 4
           WHEN 58 THEN 93
           WHEN 59 THEN 7
           WHEN 61 THEN 93
           WHEN 62 THEN 6
           WHEN 98 THEN -150
           WHEN 104 THEN -7
           WHEN 106 THEN 3
           WHEN 108 THEN 2
           WHEN 127 THEN -5
           WHEN 165 THEN -3
           WHEN 167 THEN 12
           WHEN 173 THEN -2
           WHEN 175 THEN 1
           WHEN 231 THEN -9
           WHEN 239 THEN -8
           ELSE 0 END AS smallint) AS SQL_DATA_TYPE,
       CAST(NULL AS smallint) AS SQL_DATETIME_SUB,
       CASE WHEN y.system_type_id IN (48, 52, 56, 59, 62, 106, 108, 127) THEN 10 END
           AS NUM_PREC_RADIX,
       CAST(NULL AS smallint) AS INTERVAL_PRECISION,
       CAST(0 AS smallint) AS USERTYPE
FROM sys.types y
WHERE y.system_type_id IN (36, 40, 41, 42, 43, 48, 52, 56, 58, 59, 61, 62, 98, 104, 106, 108, 127, 165, 167, 173, 175, 231, 239) AND y.user_type_id < 256
  AND (@data_type IS NULL OR @data_type = 0
       OR @data_type = CASE y.system_type_id
           WHEN 36 THEN -11
           WHEN 40 THEN 91
           WHEN 41 THEN -154
           WHEN 42 THEN 93
           WHEN 43 THEN -155
           WHEN 48 THEN -6
           WHEN 52 THEN 5
           WHEN 56 THEN 4
           WHEN 58 THEN 93
           WHEN 59 THEN 7
           WHEN 61 THEN 93
           WHEN 62 THEN 6
           WHEN 98 THEN -150
           WHEN 104 THEN -7
           WHEN 106 THEN 3
           WHEN 108 THEN 2
           WHEN 127 THEN -5
           WHEN 165 THEN -3
           WHEN 167 THEN 12
           WHEN 173 THEN -2
           WHEN 175 THEN 1
           WHEN 231 THEN -9
           WHEN 239 THEN -8
           ELSE 0 END)
ORDER BY DATA_TYPE
