-- Lists the rows of configurations that settings.sql and templates.sql cannot read: the plan refuses them.
--
-- json_valid alone is not enough: the text null is valid JSON, and the application fails on it.
-- A row that is missing is fine: a fresh installation has none. Runs on the 0.6 tables and reads only.
SELECT
  key,
  CASE
    WHEN key = 'overdue_notifications' THEN 'a row of the new version is there already'
    WHEN value IS NULL THEN 'the value is missing'
    WHEN NOT json_valid(value) THEN 'the value is not JSON'
    ELSE 'the value is JSON but not an object'
  END AS why
FROM configurations
WHERE key = 'overdue_notifications'
   OR (
     key IN ('backup_settings', 'overdue_backup_notifications', 'notifications')
     AND CASE WHEN json_valid(value) THEN json_type(value) <> 'object' ELSE 1 END
   )
ORDER BY key;
