-- Which of the logins in the list @P2 (a line each) there are, whether each is disabled, and how many
-- sessions it has. One row at least.
SELECT
    @P1 AS nonce,
    p.name AS login_name,
    CAST(p.is_disabled AS int) AS is_disabled,
    (
        SELECT COUNT(*)
        FROM sys.dm_exec_sessions AS s
        WHERE s.is_user_process = 1 AND s.login_name = p.name
    ) AS sessions,
    CASE
        WHEN HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER STATE') = 1 THEN 1
        WHEN HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER PERFORMANCE STATE') = 1 THEN 1
        ELSE 0
    END AS sees_sessions
FROM (SELECT 1 AS one) AS anchor
LEFT JOIN sys.server_principals AS p
    ON p.type IN ('S', 'U', 'G', 'E', 'X')
    AND CHARINDEX(NCHAR(10) + p.name + NCHAR(10), @P2) > 0;
