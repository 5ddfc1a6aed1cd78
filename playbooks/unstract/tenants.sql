-- The tenants of v1, one a row. The row whose schema is `public` stands for what all of them share.
SELECT id, schema_name, organization_id
  FROM public.account_organization
 WHERE schema_name <> 'public'
 ORDER BY schema_name
