-- Moves the settings of jobs and the overdue notices from machine names to server ids.
--
-- When:  in the downtime, before the tables are renamed, on tables that have their 0.6 names and columns.
-- Where: inside one transaction that the caller opens. Running it twice is prevented by the ledger, not here.
-- Needs: SQLite 3.38 (JSON functions). The plan has refused everything that broken_settings.sql lists.
--
-- A 0.6 key is <machine name>:<job>. Both parts may contain colons, so a key is never cut apart. Instead
-- every key that could be meant is built from what the database holds, and compared whole.
-- What is left over is a declared loss, listed beforehand by lost_settings.sql and lost_notices.sql.

-- 1. Settings of jobs: each goes to every (machine, job) pair that its key names.
-- Where the names of machines are not unique, each machine of that name gets the setting.
-- Where no key finds its pair, the result is an empty object. The application would keep the old row instead,
-- but nothing in 0.7 reads its keys any more, and keeping all of them only when all are lost helps nobody.
UPDATE configurations
SET value = (
  WITH
    pair AS MATERIALIZED (
      SELECT DISTINCT
        CAST(m.id AS TEXT) || ':' || b.backup_name AS new_key,
        CAST(m.name AS TEXT) || ':' || b.backup_name AS old_key,
        CAST(m.name AS TEXT) AS machine
      FROM machines AS m
      JOIN backups AS b ON b.machine_id = m.id
    ),
    -- json_each lists a repeated key as often as it is written, readers of JSON take the last one.
    setting AS MATERIALIZED (
      SELECT e.key AS old_key, e.value AS setting, e.id AS position
      FROM json_each(configurations.value) AS e
      WHERE e.type = 'object'
    ),
    moved AS (
      SELECT
        pair.new_key, setting.position,
        json_set(setting.setting, '$.machineName', pair.machine) AS setting,
        row_number() OVER (PARTITION BY pair.new_key ORDER BY setting.position DESC) AS turn
      FROM setting
      JOIN pair ON pair.old_key = setting.old_key
    )
  SELECT json_group_object(new_key, json(setting))
  FROM (SELECT new_key, setting FROM moved WHERE turn = 1 ORDER BY position, new_key)
)
WHERE key = 'backup_settings' AND json_type(value) = 'object';

-- 2. Overdue notices: a new row. Here it is enough that a machine of that name exists, whether or not
-- it has a backup of that job: so the application does it. An INSERT that meets a row of that name fails,
-- and with it the step, rather than overwrite what it does not know.
INSERT INTO configurations (key, value)
SELECT
  'overdue_notifications',
  (
    WITH
      -- Compared as bytes: length() of a text ends at a NUL, and a name may contain one.
      machine AS MATERIALIZED (
        SELECT CAST(id AS TEXT) AS id, CAST(name AS TEXT) AS name, CAST(CAST(name AS TEXT) || ':' AS BLOB) AS prefix
        FROM machines
      ),
      notice AS MATERIALIZED (
        SELECT CAST(e.key AS BLOB) AS old_key, e.value AS notice, e.id AS position
        FROM json_each(old.value) AS e
        WHERE e.type = 'object'
      ),
      moved AS (
        SELECT
          m.id || ':' || CAST(substr(notice.old_key, length(m.prefix) + 1) AS TEXT) AS new_key,
          notice.position,
          json_set(json_remove(notice.notice, '$.lastBackupDate'), '$.serverName', m.name) AS notice
        FROM notice
        JOIN machine AS m
          ON substr(notice.old_key, 1, length(m.prefix)) = m.prefix
         AND length(notice.old_key) > length(m.prefix)
      ),
      latest AS (
        SELECT *, row_number() OVER (PARTITION BY new_key ORDER BY position DESC) AS turn
        FROM moved
      )
    SELECT json_group_object(new_key, json(notice))
    FROM (SELECT new_key, notice FROM latest WHERE turn = 1 ORDER BY position, new_key)
  )
FROM configurations AS old
WHERE old.key = 'overdue_backup_notifications' AND json_type(old.value) = 'object';

-- 3. The old notices go in any case: 0.7 does not know the row.
DELETE FROM configurations WHERE key = 'overdue_backup_notifications';
