-- The distributed availability group @P2 with its members and their states. One row at least.
SELECT
    @P1 AS nonce,
    ag.name AS group_name,
    CAST(ag.is_distributed AS int) AS is_distributed,
    CAST(ag.required_synchronized_secondaries_to_commit AS int) AS required_synchronized,
    ar.replica_server_name AS member,
    ar.endpoint_url AS endpoint_url,
    ar.availability_mode_desc AS mode,
    CAST(ar.session_timeout AS int) AS session_timeout_s,
    CAST(rs.is_local AS int) AS is_local,
    rs.role_desc AS role,
    rs.connected_state_desc AS connected,
    rs.last_connect_error_number AS error_number,
    rs.last_connect_error_description AS error_text
FROM (SELECT 1 AS one) AS anchor
LEFT JOIN sys.availability_groups AS ag ON ag.name = @P2
LEFT JOIN sys.availability_replicas AS ar ON ar.group_id = ag.group_id
LEFT JOIN sys.dm_hadr_availability_replica_states AS rs
    ON rs.replica_id = ar.replica_id AND rs.group_id = ar.group_id;
