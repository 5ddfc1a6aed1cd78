-- Lists what is in the database but does not belong to the application, or is not as the application made it.
--
-- One sentence for a person in each row. Views and triggers break or vanish when a table is rebuilt, an index
-- or a column of somebody else would be lost without a word, so each of them is a refusal at plan time.
-- The expected things are written out below, in the order and with the declarations that 0.6 gives them.
-- Tables that SQLite itself keeps (sqlite_stat1 after ANALYZE) are no loss to anybody and are left out.
-- Runs on the 0.6 tables and reads only.
WITH
  expected_table(name) AS (
    VALUES ('backups'), ('configurations'), ('db_version'), ('machines')
  ),
  -- The columns of each index as one text. What a TEXT PRIMARY KEY makes by itself is here as well:
  -- a further one betrays a UNIQUE that the application has not declared.
  expected_index(name, tbl, columns, is_unique) AS (
    VALUES
    ('idx_backups_backup_id', 'backups', 'backup_id', 0),
    ('idx_backups_begin_time', 'backups', 'begin_time', 0),
    ('idx_backups_date', 'backups', 'date', 0),
    ('idx_backups_end_time', 'backups', 'end_time', 0),
    ('idx_backups_machine_id', 'backups', 'machine_id', 0),
    ('sqlite_autoindex_backups_1', 'backups', 'id', 1),
    ('sqlite_autoindex_configurations_1', 'configurations', 'key', 1),
    ('sqlite_autoindex_db_version_1', 'db_version', 'version', 1),
    ('sqlite_autoindex_machines_1', 'machines', 'id', 1)
  ),
  expected_column(tbl, position, name, type, not_null, dflt, pk) AS (
    VALUES
    ('backups', 0, 'id', 'TEXT', 0, NULL, 1),
    ('backups', 1, 'machine_id', 'TEXT', 1, NULL, 0),
    ('backups', 2, 'backup_name', 'TEXT', 1, NULL, 0),
    ('backups', 3, 'backup_id', 'TEXT', 1, NULL, 0),
    ('backups', 4, 'date', 'DATETIME', 1, NULL, 0),
    ('backups', 5, 'status', 'TEXT', 1, NULL, 0),
    ('backups', 6, 'duration_seconds', 'INTEGER', 1, NULL, 0),
    ('backups', 7, 'size', 'INTEGER', 1, '0', 0),
    ('backups', 8, 'uploaded_size', 'INTEGER', 1, '0', 0),
    ('backups', 9, 'examined_files', 'INTEGER', 1, '0', 0),
    ('backups', 10, 'warnings', 'INTEGER', 1, '0', 0),
    ('backups', 11, 'errors', 'INTEGER', 1, '0', 0),
    ('backups', 12, 'created_at', 'DATETIME', 0, 'CURRENT_TIMESTAMP', 0),
    ('backups', 13, 'messages_array', 'TEXT', 0, '''[]''', 0),
    ('backups', 14, 'warnings_array', 'TEXT', 0, '''[]''', 0),
    ('backups', 15, 'errors_array', 'TEXT', 0, '''[]''', 0),
    ('backups', 16, 'available_backups', 'TEXT', 0, '''[]''', 0),
    ('backups', 17, 'deleted_files', 'INTEGER', 1, '0', 0),
    ('backups', 18, 'deleted_folders', 'INTEGER', 1, '0', 0),
    ('backups', 19, 'modified_files', 'INTEGER', 1, '0', 0),
    ('backups', 20, 'opened_files', 'INTEGER', 1, '0', 0),
    ('backups', 21, 'added_files', 'INTEGER', 1, '0', 0),
    ('backups', 22, 'size_of_modified_files', 'INTEGER', 1, '0', 0),
    ('backups', 23, 'size_of_added_files', 'INTEGER', 1, '0', 0),
    ('backups', 24, 'size_of_examined_files', 'INTEGER', 1, '0', 0),
    ('backups', 25, 'size_of_opened_files', 'INTEGER', 1, '0', 0),
    ('backups', 26, 'not_processed_files', 'INTEGER', 1, '0', 0),
    ('backups', 27, 'added_folders', 'INTEGER', 1, '0', 0),
    ('backups', 28, 'too_large_files', 'INTEGER', 1, '0', 0),
    ('backups', 29, 'files_with_error', 'INTEGER', 1, '0', 0),
    ('backups', 30, 'modified_folders', 'INTEGER', 1, '0', 0),
    ('backups', 31, 'modified_symlinks', 'INTEGER', 1, '0', 0),
    ('backups', 32, 'added_symlinks', 'INTEGER', 1, '0', 0),
    ('backups', 33, 'deleted_symlinks', 'INTEGER', 1, '0', 0),
    ('backups', 34, 'partial_backup', 'BOOLEAN', 1, '0', 0),
    ('backups', 35, 'dryrun', 'BOOLEAN', 1, '0', 0),
    ('backups', 36, 'main_operation', 'TEXT', 1, NULL, 0),
    ('backups', 37, 'parsed_result', 'TEXT', 1, NULL, 0),
    ('backups', 38, 'interrupted', 'BOOLEAN', 1, '0', 0),
    ('backups', 39, 'version', 'TEXT', 0, NULL, 0),
    ('backups', 40, 'begin_time', 'DATETIME', 1, NULL, 0),
    ('backups', 41, 'end_time', 'DATETIME', 1, NULL, 0),
    ('backups', 42, 'warnings_actual_length', 'INTEGER', 1, '0', 0),
    ('backups', 43, 'errors_actual_length', 'INTEGER', 1, '0', 0),
    ('backups', 44, 'messages_actual_length', 'INTEGER', 1, '0', 0),
    ('backups', 45, 'bytes_downloaded', 'INTEGER', 1, '0', 0),
    ('backups', 46, 'known_file_size', 'INTEGER', 1, '0', 0),
    ('backups', 47, 'last_backup_date', 'DATETIME', 0, NULL, 0),
    ('backups', 48, 'backup_list_count', 'INTEGER', 1, '0', 0),
    ('backups', 49, 'reported_quota_error', 'BOOLEAN', 1, '0', 0),
    ('backups', 50, 'reported_quota_warning', 'BOOLEAN', 1, '0', 0),
    ('backups', 51, 'backend_main_operation', 'TEXT', 0, NULL, 0),
    ('backups', 52, 'backend_parsed_result', 'TEXT', 0, NULL, 0),
    ('backups', 53, 'backend_interrupted', 'BOOLEAN', 1, '0', 0),
    ('backups', 54, 'backend_version', 'TEXT', 0, NULL, 0),
    ('backups', 55, 'backend_begin_time', 'DATETIME', 0, NULL, 0),
    ('backups', 56, 'backend_duration', 'TEXT', 0, NULL, 0),
    ('backups', 57, 'backend_warnings_actual_length', 'INTEGER', 1, '0', 0),
    ('backups', 58, 'backend_errors_actual_length', 'INTEGER', 1, '0', 0),
    ('configurations', 0, 'key', 'TEXT', 1, NULL, 1),
    ('configurations', 1, 'value', 'TEXT', 0, NULL, 0),
    ('db_version', 0, 'version', 'TEXT', 0, NULL, 1),
    ('db_version', 1, 'applied_at', 'DATETIME', 0, 'CURRENT_TIMESTAMP', 0),
    ('machines', 0, 'id', 'TEXT', 0, NULL, 1),
    ('machines', 1, 'name', 'TEXT', 1, NULL, 0),
    ('machines', 2, 'created_at', 'DATETIME', 0, 'CURRENT_TIMESTAMP', 0)
  ),
  -- Names are folded: SQLite finds a table or a column whatever its case, and so does the application.
  found_table AS MATERIALIZED (
    SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
  ),
  found_index AS MATERIALIZED (
    SELECT
      l.name AS name, e.name AS tbl, l."unique" AS is_unique, l.partial AS is_partial,
      (SELECT group_concat(coalesce(name, '?'), ',')
       FROM (SELECT i.name FROM pragma_index_info(l.name) AS i ORDER BY i.seqno)) AS columns
    FROM expected_table AS e, pragma_index_list(e.name) AS l
  ),
  found_column AS MATERIALIZED (
    SELECT e.name AS tbl, x.cid AS position, x.name AS name, x.type AS type,
           x."notnull" AS not_null, x.dflt_value AS dflt, x.pk AS pk, x.hidden AS hidden
    FROM expected_table AS e, pragma_table_xinfo(e.name) AS x
  ),
  expected_reference(tbl, referred, from_column, to_column, on_update, on_delete) AS (
    VALUES ('backups', 'machines', 'machine_id', 'id', 'NO ACTION', 'NO ACTION')
  ),
  found_reference AS MATERIALIZED (
    SELECT e.name AS tbl, f."table" AS referred, f."from" AS from_column, f."to" AS to_column,
           f.on_update AS on_update, f.on_delete AS on_delete
    FROM expected_table AS e, pragma_foreign_key_list(e.name) AS f
  )

SELECT type || ' `' || name || '` on `' || tbl_name || '` is not the application''s' AS finding
FROM sqlite_schema
WHERE type IN ('view', 'trigger')

UNION ALL
SELECT 'table `' || name || '` is not the application''s'
FROM found_table
WHERE lower(name) NOT IN (SELECT name FROM expected_table)

UNION ALL
SELECT 'table `' || name || '` of the application is missing'
FROM expected_table
WHERE name NOT IN (SELECT lower(name) FROM found_table)

UNION ALL
SELECT 'index `' || f.name || '` on `' || f.tbl || '` is not the application''s'
FROM found_index AS f
WHERE NOT EXISTS (
  SELECT 1 FROM expected_index AS e
  WHERE e.name = lower(f.name) AND e.tbl = f.tbl AND e.columns = lower(f.columns)
    AND e.is_unique = f.is_unique AND f.is_partial = 0
)

UNION ALL
SELECT 'index `' || e.name || '` on `' || e.tbl || '` of the application is missing'
FROM expected_index AS e
WHERE e.tbl IN (SELECT lower(name) FROM found_table)
  AND e.name NOT IN (SELECT lower(name) FROM found_index)

UNION ALL
SELECT 'column `' || f.name || '` of `' || f.tbl || '` is not the application''s'
FROM found_column AS f
WHERE NOT EXISTS (
  SELECT 1 FROM expected_column AS e WHERE e.tbl = f.tbl AND e.name = lower(f.name)
)

UNION ALL
SELECT 'column `' || e.name || '` of `' || e.tbl || '` is missing or is declared in another way'
FROM expected_column AS e
WHERE e.tbl IN (SELECT lower(name) FROM found_table)
  AND NOT EXISTS (
    SELECT 1 FROM found_column AS f
    WHERE f.tbl = e.tbl AND lower(f.name) = e.name AND f.position = e.position
      AND upper(f.type) = e.type AND f.not_null = e.not_null AND f.dflt IS e.dflt AND f.pk = e.pk
      AND f.hidden = 0
  )

UNION ALL
SELECT 'reference of `' || f.tbl || '` to `' || f.referred || '` is not the application''s'
FROM found_reference AS f
WHERE NOT EXISTS (
  SELECT 1 FROM expected_reference AS e
  WHERE e.tbl = f.tbl AND e.referred = lower(f.referred) AND e.from_column = lower(f.from_column)
    AND e.to_column = lower(coalesce(f.to_column, 'id'))
    AND e.on_update = f.on_update AND e.on_delete = f.on_delete
)

ORDER BY 1;
