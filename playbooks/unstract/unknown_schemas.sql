-- Schemas that look like a tenant's and belong to no organization: what is in them stays behind.
SELECT n.nspname AS schema
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relname = 'tenant_account_organizationmember' AND c.relkind = 'r'
   AND NOT EXISTS (SELECT FROM public.account_organization AS t WHERE t.schema_name = n.nspname)
 ORDER BY 1
