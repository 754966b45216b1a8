-- The endpoint by which a link replicates, with its port and its own certificate. One row at least,
-- with nothing in it if there is no endpoint, or if this login may not see it.
SELECT
    @P1 AS nonce,
    e.name AS endpoint,
    e.state_desc AS state,
    e.role_desc AS role,
    e.connection_auth_desc AS auth,
    CAST(e.is_encryption_enabled AS int) AS encrypted,
    e.encryption_algorithm_desc AS algorithm,
    t.port AS port,
    c.name AS certificate,
    c.expiry_date AS expiry
FROM (SELECT 1 AS one) AS anchor
LEFT JOIN sys.database_mirroring_endpoints AS e ON e.type = 4
LEFT JOIN sys.tcp_endpoints AS t ON t.endpoint_id = e.endpoint_id
LEFT JOIN sys.certificates AS c ON c.certificate_id = e.certificate_id;
