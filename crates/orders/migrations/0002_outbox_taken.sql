-- While one relay publishes a message no other takes it, until then; a relay that died is waited for no longer. The version
-- before leaves it empty.
ALTER TABLE outbox ADD COLUMN taken_until BIGINT;
