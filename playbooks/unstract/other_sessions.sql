-- Who else is in this database. Our own sessions name themselves.
SELECT pid, usename AS "user", application_name AS application, client_addr AS address, state,
       date_trunc('second', backend_start) AS since
  FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
   AND application_name NOT LIKE 'switchback%'
 ORDER BY backend_start
