-- Every distributed availability group with its state rows; at least one row, even if there is none.
-- sys.availability_groups hides the internal groups of multi-database links, whose state rows the
-- management view shows: hence the join, and is_distributed. The members of a distributed group are
-- named after the groups that they are, so the member that is a group of this server is this side,
-- and local_role is what this server is within it.
SELECT
    @P1 AS nonce,
    ag.name AS group_name,
    CAST(rs.is_local AS int) AS is_local,
    CAST(rs.role AS int) AS role,
    CAST(rs.connected_state AS int) AS connected_state,
    CAST(rs.synchronization_health AS int) AS synchronization_health,
    member.replica_server_name AS member_name,
    own.name AS local_group,
    CAST(mine.role AS int) AS local_role
FROM (SELECT 1 AS one) AS anchor
LEFT JOIN sys.availability_groups AS ag ON ag.is_distributed = 1
LEFT JOIN sys.dm_hadr_availability_replica_states AS rs ON rs.group_id = ag.group_id
LEFT JOIN sys.availability_replicas AS member ON member.replica_id = rs.replica_id
LEFT JOIN sys.availability_groups AS own
    ON own.name = member.replica_server_name AND own.is_distributed = 0
LEFT JOIN sys.dm_hadr_availability_replica_states AS mine
    ON mine.group_id = own.group_id AND mine.is_local = 1;
