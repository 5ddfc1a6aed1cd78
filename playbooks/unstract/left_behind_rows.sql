-- Rows and references that v2 has no place for, counted by table. What each release makes for itself (its migrations, its
-- content types and permissions) is not among them.
WITH left_behind (home, name, col) AS (
    VALUES ('public', 'account_domain', NULL), ('public', 'account_user_groups', NULL),
           ('public', 'account_user_user_permissions', NULL), ('public', 'auth_group', NULL),
           ('public', 'auth_group_permissions', NULL), ('public', 'django_admin_log', NULL),
           ('tenant', 'auth_group', NULL), ('tenant', 'auth_group_permissions', NULL),
           ('tenant', 'django_admin_log', NULL), ('tenant', 'project_project', NULL), ('tenant', 'prompt_prompt', NULL),
           ('tenant', 'workflow_workflow', 'project_id'), ('tenant', 'connector_connectorinstance', 'project_id'))
SELECT t.schema_name AS schema, l.name || coalesce('.' || l.col, '') AS "table", c.rows
  FROM public.account_organization AS t
  JOIN left_behind AS l ON (l.home = 'public') = (t.schema_name = 'public'),
       LATERAL xmltable('/table/row' PASSING query_to_xml(
               format('SELECT count(%s) AS rows FROM %I.%I', coalesce(quote_ident(l.col), '*'), t.schema_name, l.name),
               false, false, '')
           COLUMNS rows bigint) AS c
 WHERE to_regclass(format('%I.%I', t.schema_name, l.name)) IS NOT NULL AND c.rows > 0
 ORDER BY 1, 2
