-- Numbers that the database would give out a second time.
SELECT c.relname AS "table", a.attname AS "column", s.last, m.highest
  FROM pg_attribute AS a
  JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind = 'r'
  JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = CAST(:schema AS text),
       LATERAL (SELECT coalesce(pg_sequence_last_value(CAST(pg_get_serial_sequence(
                           format('%I.%I', n.nspname, c.relname), a.attname) AS regclass)), 0) AS last) AS s,
       LATERAL xmltable('/table/row'
           PASSING query_to_xml(format('SELECT max(%I) AS highest FROM %I.%I', a.attname, n.nspname, c.relname), false, false, '')
           COLUMNS highest bigint) AS m
 WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attidentity <> '' AND m.highest > s.last
 ORDER BY 1, 2
