-- What this login may do on the server. One row, always. An unknown permission is NULL: those of
-- SQL Server 2022 on an older one.
SELECT
    @P1 AS nonce,
    HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER STATE') AS server_state,
    HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER PERFORMANCE STATE') AS performance_state,
    HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW ANY DEFINITION') AS any_definition,
    HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW ANY DATABASE') AS any_database,
    HAS_PERMS_BY_NAME(NULL, NULL, N'ALTER ANY AVAILABILITY GROUP') AS alter_any_group,
    HAS_PERMS_BY_NAME(NULL, NULL, N'ALTER ANY DATABASE') AS alter_any_database,
    HAS_PERMS_BY_NAME(NULL, NULL, N'ALTER ANY CONNECTION') AS alter_any_connection,
    HAS_PERMS_BY_NAME(NULL, NULL, N'ALTER ANY LOGIN') AS alter_any_login,
    HAS_PERMS_BY_NAME(NULL, NULL, N'CONTROL SERVER') AS control_server;
