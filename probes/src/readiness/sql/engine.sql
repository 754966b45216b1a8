-- Who answers, and how it is set up. One row, always; nothing in it needs a permission.
SELECT
    @P1 AS nonce,
    CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)) AS product_version,
    CAST(SERVERPROPERTY('Edition') AS nvarchar(128)) AS edition,
    CAST(SERVERPROPERTY('EngineEdition') AS int) AS engine_edition,
    CAST(SERVERPROPERTY('IsHadrEnabled') AS int) AS hadr_enabled,
    CAST(SERVERPROPERTY('HadrManagerStatus') AS int) AS hadr_status,
    CAST(SERVERPROPERTY('Collation') AS nvarchar(128)) AS collation,
    CAST(@@SERVERNAME AS nvarchar(128)) AS server_name,
    GETUTCDATE() AS utc_time;
