-- Whether this login may back up the database whose name, in brackets, is @P2. NULL if it is not
-- open to it: a secondary that is not readable, or no user there.
SELECT
    @P1 AS nonce,
    HAS_PERMS_BY_NAME(@P2, N'DATABASE', N'BACKUP DATABASE') AS back_up;
