-- Every command of the release plants a task that consumes its logs, and its interval: their numbers are those of v1's own
-- schedules. The service plants them again when it starts, beside the rows that were carried over.
DELETE FROM ${schema}.django_celery_beat_periodictask WHERE name = 'workflow_log_history_v2';
DELETE FROM ${schema}.django_celery_beat_intervalschedule AS i
 WHERE i.period = 'seconds'
   AND NOT EXISTS (SELECT FROM ${schema}.django_celery_beat_periodictask AS t WHERE t.interval_id = i.id);
DELETE FROM ${schema}.django_celery_beat_periodictasks;
