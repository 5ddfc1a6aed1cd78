-- Connectors whose settings were never encrypted: v2 has the encrypted column only, so their settings stay behind.
SELECT t.schema_name AS tenant, c.id, convert_from(decode(c.name, 'hex'), 'UTF8') AS connector
  FROM public.account_organization AS t,
       LATERAL xmltable('/table/row' PASSING query_to_xml(format(
           $sql$
           SELECT id, encode(convert_to(connector_name, 'UTF8'), 'hex') AS name FROM %1$I.connector_connectorinstance
            WHERE connector_metadata_b IS NULL AND connector_metadata NOT IN ('{}', 'null')
           $sql$, t.schema_name), false, false, '')
           COLUMNS id uuid, name text) AS c
 WHERE t.schema_name <> 'public'
   AND EXISTS (SELECT FROM pg_attribute
                WHERE attrelid = to_regclass(format('%I.connector_connectorinstance', t.schema_name))
                  AND attname = 'connector_metadata_b')
 ORDER BY 1, 2
