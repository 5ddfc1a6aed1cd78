-- The new release plants a task of its own when it starts, and then stays in the database. Its task alone is no sign of life.
SELECT task.name
  FROM ${schema}.django_celery_beat_periodictask AS task
 WHERE task.name = 'workflow_log_history_v2'
   AND EXISTS (SELECT FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()
                  AND (backend_type = 'client backend' OR backend_type IS NULL AND usename IS NOT NULL)
                  AND application_name NOT LIKE 'switchback%')
