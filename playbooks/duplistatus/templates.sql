-- Renames the variable of the machine in the templates of notifications.
--
-- 0.7 knows {server_name} and prints an unknown variable as nothing, so that a notice would no longer say
-- which machine it is about. The application does not do this by itself, not even for its own templates.
--
-- Only the object templates is touched: the same word in an address or a topic stays.
-- Texts keep their escapes, and what the application wrote (JSON without blanks) keeps all other bytes.
-- A variable spelt with JSON escapes is not found: neither version of the application writes that.
-- When and where: as settings.sql.
UPDATE configurations
SET value = json_set(
  value,
  '$.templates',
  json(replace(json_extract(value, '$.templates'), '{machine_name}', '{server_name}'))
)
WHERE key = 'notifications'
  AND json_type(value, '$.templates') = 'object'
  AND instr(json_extract(value, '$.templates'), '{machine_name}') > 0;
