-- Lists what the rewritten settings must not contain. Runs on the 0.7 tables, in prove, and reads only.
--
-- It asks anew instead of trusting that settings.sql and templates.sql have run.
WITH entry AS (
  SELECT c.key AS row_key, e.key AS key, e.type AS type,
         CASE c.key WHEN 'backup_settings' THEN json_extract(c.value, e.fullkey || '.machineName')
                    ELSE json_extract(c.value, e.fullkey || '.serverName') END AS name
  FROM configurations AS c, json_each(c.value) AS e
  WHERE c.key IN ('backup_settings', 'overdue_notifications') AND json_type(c.value) = 'object'
)
SELECT row_key || ': `' || key || '` belongs to no server of that id and name' AS finding
FROM entry
WHERE NOT EXISTS (
  SELECT 1 FROM servers AS s
  WHERE substr(entry.key, 1, length(CAST(s.id AS TEXT)) + 1) = CAST(s.id AS TEXT) || ':'
    AND CAST(s.name AS TEXT) = entry.name
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
