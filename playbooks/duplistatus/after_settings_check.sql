-- Lists what the rewritten settings must not contain. Runs on the 0.7 tables, in prove, and reads only.
--
-- It asks anew instead of trusting that settings.sql and templates.sql have run.
WITH
  server AS MATERIALIZED (
    SELECT CAST(CAST(id AS TEXT) || ':' AS BLOB) AS prefix, CAST(name AS TEXT) AS name FROM servers
  ),
  entry AS (
    SELECT
      c.key AS row_key, e.key AS key, CAST(e.key AS BLOB) AS bytes,
      CASE
        WHEN e.type <> 'object' THEN NULL
        WHEN c.key = 'backup_settings' THEN json_extract(e.value, '$.machineName')
        ELSE json_extract(e.value, '$.serverName')
      END AS name
    FROM configurations AS c, json_each(c.value) AS e
    WHERE c.key IN ('backup_settings', 'overdue_notifications') AND json_type(c.value) = 'object'
  )
SELECT row_key || ': `' || key || '` belongs to no server of that id and name' AS finding
FROM entry
WHERE NOT EXISTS (
  SELECT 1 FROM server AS s
  WHERE substr(entry.bytes, 1, length(s.prefix)) = s.prefix AND s.name = entry.name
)
UNION ALL
SELECT 'overdue_backup_notifications: the old row is still there'
FROM configurations WHERE key = 'overdue_backup_notifications'
UNION ALL
SELECT 'notifications: a template still says {machine_name}'
FROM configurations
WHERE key = 'notifications'
  AND json_type(value, '$.templates') = 'object'
  AND instr(json_extract(value, '$.templates'), '{machine_name}') > 0;
