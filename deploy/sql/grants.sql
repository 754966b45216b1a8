-- Least rights for dr-agent, on each side of a link. Run in master, once per instance.
-- Replace LinkSales by the name of the distributed availability group, and set a password of
-- your own. Sources: "ALTER AVAILABILITY GROUP" and "Monitor availability groups" (Microsoft
-- Learn), sections Permissions. Whether a managed instance asks for more than this for
-- FORCE_FAILOVER_ALLOW_DATA_LOSS is not documented: try HAS_PERMS_BY_NAME before you rely on it.

CREATE LOGIN dr_agent WITH PASSWORD = N'<a long random password>', CHECK_POLICY = ON;

-- To look: DMVs and catalog views of availability groups.
GRANT VIEW SERVER STATE TO dr_agent;
GRANT VIEW ANY DEFINITION TO dr_agent;

-- To act: the group of this link and no other. FAILOVER needs ALTER ANY DATABASE beside it.
GRANT ALTER ON AVAILABILITY GROUP::[LinkSales] TO dr_agent;
GRANT ALTER ANY DATABASE TO dr_agent;
