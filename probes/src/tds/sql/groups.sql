-- Every distributed availability group with its state rows; at least one row, even if there is none.
-- sys.availability_groups hides the internal groups of multi-database links, whose state rows the
-- management view shows: hence the join, and is_distributed.
SELECT
    @P1 AS nonce,
    ag.name AS group_name,
    CAST(rs.is_local AS int) AS is_local,
    CAST(rs.role AS int) AS role,
    CAST(rs.connected_state AS int) AS connected_state,
    CAST(rs.synchronization_health AS int) AS synchronization_health
FROM (SELECT 1 AS one) AS anchor
LEFT JOIN sys.availability_groups AS ag ON ag.is_distributed = 1
LEFT JOIN sys.dm_hadr_availability_replica_states AS rs ON rs.group_id = ag.group_id;
