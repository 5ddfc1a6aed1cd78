-- Who else is in this database. Our own sessions name themselves. What kind of process another user's is, the server tells
-- only superusers and members of pg_read_all_stats; of those that are hidden, the ones that belong to somebody are sessions.
SELECT pid, usename AS "user", application_name AS application, client_addr AS address, state,
       date_trunc('second', backend_start) AS since
  FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
   AND (backend_type = 'client backend' OR backend_type IS NULL AND usename IS NOT NULL)
   AND application_name NOT LIKE 'switchback%'
 ORDER BY backend_start
