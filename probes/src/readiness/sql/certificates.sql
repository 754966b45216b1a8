-- Certificates in master, and whether there is a master key that protects private ones. One row at
-- least.
SELECT
    @P1 AS nonce,
    k.symmetric_key_id AS master_key,
    c.name AS certificate,
    c.pvt_key_encryption_type AS private_key,
    c.expiry_date AS expiry
FROM (SELECT 1 AS one) AS anchor
LEFT JOIN sys.symmetric_keys AS k ON k.symmetric_key_id = 101
LEFT JOIN sys.certificates AS c ON c.name NOT LIKE N'##%';
