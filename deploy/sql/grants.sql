-- Least rights for dr-agent, on each side of a link. Run in master, once per instance.
-- Replace LinkSales by the name of the distributed availability group and Sales by that of its
-- database, and set a password of your own. Sources: "ALTER AVAILABILITY GROUP" and "Monitor availability groups" (Microsoft
-- Learn), sections Permissions. Whether a managed instance asks for more than this for
-- FORCE_FAILOVER_ALLOW_DATA_LOSS is not documented: try HAS_PERMS_BY_NAME before you rely on it.

CREATE LOGIN dr_agent WITH PASSWORD = N'<a long random password>', CHECK_POLICY = ON;

-- Other ways to log in, in place of the line above; the grants are the same, to that name.
-- By a token of Entra (`entra = true`; managed instance, and SQL Server 2022 with Azure Arc): the
-- name is that of the application or managed identity.
--     CREATE LOGIN [dr-agent] FROM EXTERNAL PROVIDER;
-- By a Windows account (`windows = 'EXAMPLE\dr_agent'`; SQL Server):
--     CREATE LOGIN [EXAMPLE\dr_agent] FROM WINDOWS;
-- Of a side with several replicas, make the login on each of them: logins do not replicate.

-- To look: DMVs and catalog views of availability groups.
GRANT VIEW SERVER STATE TO dr_agent;
GRANT VIEW ANY DEFINITION TO dr_agent;

-- To act: the group of this link and no other. FAILOVER needs ALTER ANY DATABASE beside it.
GRANT ALTER ON AVAILABILITY GROUP::[LinkSales] TO dr_agent;
GRANT ALTER ANY DATABASE TO dr_agent;

-- For planned failovers, to the login that acts (`action_login`, or the one above).
--
-- VIEW SERVER STATE, as above, shows it other sessions, their open transactions and the counters of
-- the log: without it nobody could be seen at work, and that must not look like nobody being there.
-- VIEW ANY DATABASE: the id of the database, and its name in the counters. public has it unless it
-- was taken away.
GRANT VIEW ANY DATABASE TO dr_agent;

-- For repairs (`links.repair`), to end sessions on the side that lost.
GRANT ALTER ANY CONNECTION TO dr_agent;

-- Only if a return guard disables logins (`links.guard.logins`).
GRANT ALTER ANY LOGIN TO dr_agent;

-- Only for cutovers (`dr-agent propose --kind cutover`) and for the guard of a deletion, on SQL Server: to drop the distributed group
-- and the server's own one beneath it, and to make what is left READ_ONLY (ALTER ANY DATABASE, above).
GRANT ALTER ANY AVAILABILITY GROUP TO dr_agent;

-- On SQL Server only, to see in msdb that the full backup is there and which jobs back up the log.
-- msdb does not replicate.
USE msdb;
CREATE USER dr_agent FOR LOGIN dr_agent;
GRANT SELECT ON dbo.backupset TO dr_agent;
GRANT SELECT ON dbo.sysjobs TO dr_agent;
GRANT SELECT ON dbo.sysjobsteps TO dr_agent;
GRANT SELECT ON dbo.sysjobschedules TO dr_agent;
GRANT SELECT ON dbo.sysschedules TO dr_agent;

-- On a managed instance only for cutovers, and if a repair may save what it has
-- (`links.repair.save_azure`); the jobs too for cutovers:
--     USE msdb; CREATE USER dr_agent FOR LOGIN dr_agent; GRANT SELECT ON dbo.backupset TO dr_agent;

-- Only if the agent takes backups itself (`links.planned.backup`, `links.repair`): BACKUP DATABASE
-- asks for a user in the database. Run this on the side that is the primary. A user is part of the database
-- and replicates to the other side, where it belongs to nobody unless the login there has the same
-- SID: read it here with
--     SELECT sid FROM sys.server_principals WHERE name = N'dr_agent';
-- and give it to the login of the other side when that is made, with SID = 0x... behind the
-- password. BACKUP ... TO URL needs a credential of the container's name on the server as well.
USE [Sales];
CREATE USER dr_agent FOR LOGIN dr_agent;
ALTER ROLE db_backupoperator ADD MEMBER dr_agent;
