-- Rows in a v2 schema that should be empty. What the release makes for itself does not count: its migrations, content
-- types and permissions, and the one task and interval that each of its commands plants.
SELECT c.relname AS "table", r.rows
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = CAST(:schema AS text),
       LATERAL xmltable('/table/row' PASSING query_to_xml(format('SELECT count(*) AS rows FROM %I.%I AS r WHERE %s',
               n.nspname, c.relname,
               CASE c.relname
                   WHEN 'django_celery_beat_periodictask' THEN 'r.name <> ''workflow_log_history_v2'''
                   WHEN 'django_celery_beat_intervalschedule' THEN 'r.period <> ''seconds'''
                   ELSE 'true'
               END), false, false, '')
           COLUMNS rows bigint) AS r
 WHERE c.relkind = 'r' AND r.rows > 0
   AND c.relname NOT IN ('auth_permission', 'django_content_type', 'django_migrations', 'django_celery_beat_periodictasks')
 ORDER BY 1
