-- What stands in the schema of v2, in one word.
--   none      there is no such schema, or nothing of v2 in it
--   empty     its tables are there, without an organization
--   half      the vendor's own tool was here and did not come to its end
--   stranger  v2 was started before its data came: it has organizations of its own, and none of v1's
--   filled    it holds an installation
WITH place AS (
    SELECT CAST(:schema AS text) AS name,
           to_regclass(format('%I.organization', CAST(:schema AS text))) IS NOT NULL AS made,
           to_regclass(format('%I.migration_tracking', CAST(:schema AS text))) IS NOT NULL AS tracked,
           to_regclass('public.account_organization') IS NOT NULL AS beside_v1
), seen AS (
    SELECT place.*, counted.*
      FROM place LEFT JOIN LATERAL xmltable('/table/row' PASSING query_to_xml(CASE
               -- The vendor's tool records 16 moves of what is shared, and 25 of each tenant.
               WHEN made AND tracked AND beside_v1 THEN format(
                   $sql$
                   SELECT (SELECT count(*) FROM %1$I.organization) AS organizations, 1 AS known,
                          (SELECT count(*) FROM %1$I.migration_tracking) >= 16 AND NOT EXISTS (
                               SELECT FROM public.account_organization AS t
                                WHERE t.schema_name <> 'public'
                                  AND (SELECT count(*) FROM %1$I.migration_tracking AS m
                                        WHERE starts_with(m.migration_name, 'migration_' || t.schema_name || '_')) < 25
                          ) AS complete
                   $sql$, name)
               WHEN made AND beside_v1 THEN format(
                   $sql$
                   SELECT (SELECT count(*) FROM %1$I.organization) AS organizations,
                          (SELECT count(*) FROM %1$I.organization AS o JOIN public.account_organization AS t
                                             ON t.id = o.id AND t.organization_id = o.organization_id
                            WHERE t.schema_name <> 'public') AS known,
                          true AS complete
                   $sql$, name)
               WHEN made THEN format('SELECT count(*) AS organizations, 1 AS known, true AS complete FROM %I.organization', name)
               ELSE 'SELECT 0 AS organizations, 0 AS known, true AS complete'
           END, false, false, '')
           COLUMNS organizations bigint, known bigint, complete boolean) AS counted ON true
)
SELECT CASE
           WHEN NOT made THEN 'none'
           WHEN NOT complete THEN 'half'
           WHEN organizations = 0 THEN 'empty'
           WHEN known = 0 THEN 'stranger'
           ELSE 'filled'
       END AS state
  FROM seen
