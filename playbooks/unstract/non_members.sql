-- Default adapters of users who are no members of the tenant: v2 keeps defaults with the membership, so these have none.
SELECT t.schema_name AS tenant, d.id, d.user_id, u.username
  FROM public.account_organization AS t,
       LATERAL xmltable('/table/row' PASSING query_to_xml(format(
           $sql$
           SELECT d.id, d.user_id FROM %1$I.adapter_processor_userdefaultadapter AS d
            WHERE NOT EXISTS (SELECT FROM %1$I.tenant_account_organizationmember AS m WHERE m.user_id = d.user_id)
           $sql$, t.schema_name), false, false, '')
           COLUMNS id bigint, user_id bigint) AS d
  LEFT JOIN public.account_user AS u ON u.id = d.user_id
 WHERE t.schema_name <> 'public'
   AND to_regclass(format('%I.adapter_processor_userdefaultadapter', t.schema_name)) IS NOT NULL
   AND to_regclass(format('%I.tenant_account_organizationmember', t.schema_name)) IS NOT NULL
 ORDER BY 1, 2
