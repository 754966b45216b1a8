-- Who answers, what time it is there, and what this login may see. One row, always.
-- Both clocks, because most times of the management views are in the server's local time.
SELECT
    @P1 AS nonce,
    CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)) AS product_version,
    CAST(SERVERPROPERTY('Edition') AS nvarchar(128)) AS edition,
    CAST(SERVERPROPERTY('EngineEdition') AS int) AS engine_edition,
    GETUTCDATE() AS utc_time,
    GETDATE() AS local_time,
    HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW ANY DEFINITION') AS sees_groups,
    HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW ANY DATABASE') AS sees_databases;
