-- Lists the settings of jobs that will not be carried over, and why: one row for each key.
--
-- The counterpart of settings.sql, part 1: a key is lost when no (machine, job) pair spells it.
-- A lost job gets the default settings from the application at its next upload.
-- Runs on the 0.6 tables and reads only.
WITH
  -- Compared as bytes: length() of a text ends at a NUL, and a name may contain one.
  machine AS MATERIALIZED (
    SELECT CAST(CAST(name AS TEXT) || ':' AS BLOB) AS prefix FROM machines
  ),
  pair AS MATERIALIZED (
    SELECT DISTINCT CAST(m.name AS TEXT) || ':' || b.backup_name AS old_key
    FROM machines AS m
    JOIN backups AS b ON b.machine_id = m.id
  ),
  setting AS (
    SELECT e.key AS key, e.type AS type, max(e.id)
    FROM configurations AS c, json_each(c.value) AS e
    WHERE c.key = 'backup_settings' AND json_type(c.value) = 'object'
    GROUP BY e.key
  )
SELECT
  setting.key AS key,
  CASE
    WHEN setting.type <> 'object' THEN 'the setting is not an object'
    WHEN NOT EXISTS (
      SELECT 1 FROM machine AS m
      WHERE substr(CAST(setting.key AS BLOB), 1, length(m.prefix)) = m.prefix
    ) THEN 'no machine of that name'
    ELSE 'no backup of that job'
  END AS why
FROM setting
WHERE setting.type <> 'object'
   OR setting.key NOT IN (SELECT old_key FROM pair)
ORDER BY setting.key;
