-- What could not be settled is tried again after a pause that grows with the tries; 0 and 0 once something has worked.
ALTER TABLE orders ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN retry_at BIGINT NOT NULL DEFAULT 0;
