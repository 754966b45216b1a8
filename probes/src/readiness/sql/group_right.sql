-- Whether this login may alter the group whose name, in brackets, is @P2. NULL if it is not seen.
SELECT
    @P1 AS nonce,
    HAS_PERMS_BY_NAME(@P2, N'AVAILABILITY GROUP', N'ALTER') AS alter_group;
