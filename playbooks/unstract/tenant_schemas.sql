-- The schemas of the tenants, as far as they exist.
SELECT t.schema_name
  FROM public.account_organization AS t
 WHERE t.schema_name <> 'public' AND EXISTS (SELECT FROM pg_namespace AS n WHERE n.nspname = t.schema_name)
 ORDER BY 1
