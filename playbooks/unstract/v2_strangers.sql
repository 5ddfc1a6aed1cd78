-- Objects in a schema in which nothing of v2 is: whose they are nobody knows, and v2 would be built around them.
SELECT c.relname AS name, c.relkind AS kind
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = CAST(:schema AS text)
 WHERE to_regclass(format('%I.django_migrations', CAST(:schema AS text))) IS NULL
   AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
 ORDER BY 1
