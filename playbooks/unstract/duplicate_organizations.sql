-- Organizations that v2 could not tell apart: there, the name that was free in v1 is unique.
SELECT organization_id, count(*) AS organizations, string_agg(schema_name, ', ' ORDER BY schema_name) AS schemas
  FROM public.account_organization
 GROUP BY organization_id
HAVING count(*) > 1
 ORDER BY organization_id
