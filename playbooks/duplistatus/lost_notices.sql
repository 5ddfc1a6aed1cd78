-- Lists the overdue notices that will not be carried over, and why: one row for each key.
--
-- The counterpart of settings.sql, part 2: a notice is lost when its key begins with the name of no machine.
-- What is lost is only the time of the last notice: the application sends the next one anew.
-- Runs on the 0.6 tables and reads only.
WITH
  -- Compared as bytes: length() of a text ends at a NUL, and a name may contain one.
  machine AS MATERIALIZED (
    SELECT CAST(CAST(name AS TEXT) || ':' AS BLOB) AS prefix FROM machines
  ),
  notice AS (
    SELECT e.key AS key, e.type AS type, CAST(e.key AS BLOB) AS bytes, max(e.id)
    FROM configurations AS c, json_each(c.value) AS e
    WHERE c.key = 'overdue_backup_notifications' AND json_type(c.value) = 'object'
    GROUP BY e.key
  ),
  judged AS (
    SELECT
      notice.key,
      CASE
        WHEN notice.type <> 'object' THEN 'the notice is not an object'
        WHEN NOT EXISTS (
          SELECT 1 FROM machine AS m WHERE substr(notice.bytes, 1, length(m.prefix)) = m.prefix
        ) THEN 'no machine of that name'
        WHEN NOT EXISTS (
          SELECT 1 FROM machine AS m
          WHERE substr(notice.bytes, 1, length(m.prefix)) = m.prefix AND length(notice.bytes) > length(m.prefix)
        ) THEN 'no job is named'
      END AS why
    FROM notice
  )
SELECT key, why FROM judged WHERE why IS NOT NULL ORDER BY key;
