-- Values that two tenants share and v2 has once: the tables of all tenants become one, under one key.
-- Other unique sets of v2 name the organization, or a row whose own key is in this list, and cannot clash.
WITH one_of (child, col) AS (
    VALUES ('adapter_adapterinstance', 'id'),
           ('api_apideployment', 'id'),
           ('api_apideployment', 'api_endpoint'),
           ('api_apikey', 'id'),
           ('api_apikey', 'api_key'),
           ('connector_connectorinstance', 'id'),
           ('prompt_studio_core_customtool', 'tool_id'),
           ('prompt_studio_document_manager_documentmanager', 'document_id'),
           ('workflow_executionlog', 'id'),
           ('workflow_filehistory', 'id'),
           ('prompt_studio_index_manager_indexmanager', 'index_manager_id'),
           ('notification_notification', 'id'),
           ('pipeline_pipeline', 'id'),
           ('prompt_profile_manager_profilemanager', 'profile_id'),
           ('prompt_studio_output_manager_promptstudiooutputmanager', 'prompt_output_id'),
           ('prompt_studio_registry_promptstudioregistry', 'prompt_registry_id'),
           ('tool_instance_toolinstance', 'id'),
           ('prompt_studio_toolstudioprompt', 'prompt_id'),
           ('token_usage', 'id'),
           ('workflow_workflow', 'id'),
           ('workflow_endpoints', 'id'),
           ('workflow_workflowexecution', 'id'))
SELECT u.child AS "table", u.col AS "column", convert_from(decode(c.value, 'hex'), 'UTF8') AS value, c.tenants
  FROM one_of AS u,
       LATERAL (
           SELECT string_agg(format('SELECT %I::text AS value, %L::text AS tenant FROM %I.%I',
                                    u.col, t.schema_name, t.schema_name, u.child), ' UNION ALL ') AS every
             FROM public.account_organization AS t
            WHERE t.schema_name <> 'public'
              AND EXISTS (SELECT FROM pg_attribute
                           WHERE attrelid = to_regclass(format('%I.%I', t.schema_name, u.child)) AND attname = u.col)
       ) AS s,
       LATERAL xmltable('/table/row' PASSING query_to_xml(format(
           $sql$
           SELECT encode(convert_to(value, 'UTF8'), 'hex') AS value, string_agg(tenant, ', ' ORDER BY tenant) AS tenants
             FROM (%s) AS every GROUP BY every.value HAVING count(*) > 1 ORDER BY 1 LIMIT 20
           $sql$, s.every), false, false, '')
           COLUMNS value text, tenants text) AS c
 WHERE s.every IS NOT NULL
 ORDER BY 1, 2, 3
