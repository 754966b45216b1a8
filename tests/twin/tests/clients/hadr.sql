SELECT ag.name, ars1.role_desc, ars2.connected_state_desc, ars2.synchronization_health_desc, drs.secondary_lag_seconds
FROM sys.availability_groups ag
JOIN sys.dm_hadr_availability_replica_states ars1 ON ag.group_id = ars1.group_id
JOIN sys.dm_hadr_availability_replica_states ars2 ON ag.group_id = ars2.group_id
JOIN sys.dm_hadr_database_replica_states drs ON ars2.replica_id = drs.replica_id
WHERE ag.is_distributed = 1 AND ag.name = N'LinkSales' AND ars1.is_local = 1 AND ars2.is_local = 0;
GO
SELECT rs.synchronization_health_desc
FROM sys.availability_groups ag
JOIN sys.dm_hadr_availability_replica_states rs ON ag.group_id = rs.group_id
WHERE rs.is_local = 0 AND rs.role = 2 AND ag.is_distributed = 1 AND ag.name = N'LinkSales'
GO
SELECT ag.name, ag.is_distributed, ar.replica_server_name, ar.availability_mode_desc, ars.connected_state_desc,
       ars.role_desc, ars.operational_state_desc, ars.synchronization_health_desc
FROM sys.availability_groups ag JOIN sys.availability_replicas ar ON ag.group_id = ar.group_id
LEFT JOIN sys.dm_hadr_availability_replica_states ars ON ars.replica_id = ar.replica_id
WHERE ag.is_distributed = 1;
GO
SELECT ag.name, db.name, drs.database_id, drs.group_id, drs.replica_id, drs.synchronization_state_desc, drs.end_of_log_lsn, drs.last_hardened_lsn
FROM sys.dm_hadr_database_replica_states drs
JOIN sys.databases db ON db.database_id = drs.database_id
JOIN sys.availability_groups ag ON drs.group_id = ag.group_id
WHERE ag.is_distributed = 1 AND db.name = N'Sales';
GO
SELECT ag.name, db.name, drs.database_id, drs.group_id, drs.replica_id, drs.synchronization_state_desc, drs.end_of_log_lsn, drs.last_hardened_lsn
FROM sys.dm_hadr_database_replica_states drs
JOIN sys.databases db ON db.database_id = drs.database_id
JOIN sys.availability_groups ag ON drs.group_id = ag.group_id
WHERE db.name = N'Sales' AND drs.is_primary_replica = 1;
GO
SELECT ag.name, rs.role_desc FROM sys.availability_groups ag
JOIN sys.dm_hadr_availability_replica_states rs ON ag.group_id = rs.group_id
WHERE rs.is_local = 1 AND ag.is_distributed = 1 AND ag.name = N'LinkSales';
-- both PRIMARY => split brain
GO
SELECT TOP (100) bs.database_name, bs.is_copy_only, bs.has_backup_checksums, bs.backup_start_date, bs.backup_finish_date FROM msdb.dbo.backupset bs WHERE bs.type = 'D' ORDER BY bs.backup_finish_date DESC
GO
SELECT r.replica_server_name, r.endpoint_url, rs.connected_state_desc, rs.last_connect_error_description,
       rs.last_connect_error_number, rs.last_connect_error_timestamp
FROM sys.dm_hadr_availability_replica_states rs JOIN sys.availability_replicas r ON rs.replica_id = r.replica_id;
GO
SELECT ag.name, db.name, drs.database_id, drs.group_id, drs.replica_id, drs.synchronization_state_desc, drs.end_of_log_lsn, drs.last_hardened_lsn
FROM sys.dm_hadr_database_replica_states drs
JOIN sys.databases db ON db.database_id = drs.database_id
JOIN sys.availability_groups ag ON drs.group_id = ag.group_id
WHERE db.name = N'Sales';
