-- Tenants whose schema is not of the release of the others: no schema, a migration that is missing, or one too many.
-- `public.django_migrations` is the measure: each schema keeps a record of all migrations.
SELECT t.schema_name AS tenant, 'no such schema' AS what, NULL AS app, NULL AS migration
  FROM public.account_organization AS t
 WHERE t.schema_name <> 'public' AND to_regclass(format('%I.django_migrations', t.schema_name)) IS NULL
 UNION ALL
SELECT t.schema_name, m.what, m.app, m.migration
  FROM public.account_organization AS t,
       LATERAL xmltable('/table/row' PASSING query_to_xml(format(
           $sql$
           SELECT 'misses' AS what, p.app, p.name AS migration FROM public.django_migrations AS p
            WHERE NOT EXISTS (SELECT FROM %1$I.django_migrations AS o WHERE o.app = p.app AND o.name = p.name)
            UNION ALL
           SELECT 'has besides', o.app, o.name FROM %1$I.django_migrations AS o
            WHERE NOT EXISTS (SELECT FROM public.django_migrations AS p WHERE p.app = o.app AND p.name = o.name)
           $sql$, t.schema_name), false, false, '')
           COLUMNS what text, app text, migration text) AS m
 WHERE t.schema_name <> 'public' AND to_regclass(format('%I.django_migrations', t.schema_name)) IS NOT NULL
 ORDER BY 1, 2, 3, 4
