-- Times are microseconds since 1970-01-01T00:00:00Z. Flags are 0 or 1.

CREATE TABLE orders (
    id                  TEXT PRIMARY KEY,
    session             TEXT NOT NULL,    -- whose order it is; empty: nobody's, in no list
    status              TEXT NOT NULL,    -- pending, confirmed, fulfilled, cancelled, failed
    step                TEXT NOT NULL,    -- what comes next: reserve, charge, settle, done
    visible             BIGINT NOT NULL,  -- 0 until the stock has answered, and when the request turned out to be invalid
    items               TEXT NOT NULL,    -- JSON: [{"sku","quantity","unit_price","total"}], 0 before the reservation
    currency            TEXT NOT NULL,
    total               BIGINT NOT NULL,
    charge_key          TEXT NOT NULL,    -- names the payment at the payments service
    payment_token       TEXT,             -- erased once the payment is settled
    trace_headers       TEXT NOT NULL,    -- JSON object: of the request that placed the order
    release_due_at      BIGINT,           -- the stock has to be released, since then
    refund_due_at       BIGINT,           -- the money has to be given back, since then
    cancel_requested_at BIGINT,           -- the customer asked for it, the stock has not decided yet
    fulfilled_by        TEXT,             -- the message that had it fulfilled
    created_at          BIGINT NOT NULL,
    updated_at          BIGINT NOT NULL
);

-- A session's orders, newest first.
CREATE INDEX orders_by_session ON orders (session, created_at, id);
-- What the reconciler looks for.
CREATE INDEX orders_pending ON orders (created_at) WHERE status = 'pending';
CREATE INDEX orders_release_due ON orders (release_due_at) WHERE release_due_at IS NOT NULL;
CREATE INDEX orders_refund_due ON orders (refund_due_at) WHERE refund_due_at IS NOT NULL;
CREATE INDEX orders_cancel_requested ON orders (cancel_requested_at) WHERE cancel_requested_at IS NOT NULL;

CREATE TABLE idempotency_keys (
    key          TEXT PRIMARY KEY,
    fingerprint  TEXT NOT NULL,           -- hexadecimal
    order_id     TEXT NOT NULL,
    state        TEXT NOT NULL,           -- open: may be worked on; final: the answer stands
    holder       TEXT,                    -- the attempt that works on it; every write of an attempt asks for its name
    locked_until BIGINT NOT NULL,         -- a holder that has not finished by then is taken for dead
    answer       TEXT,                    -- JSON, once final
    created_at   BIGINT NOT NULL
);

CREATE UNIQUE INDEX idempotency_keys_by_order ON idempotency_keys (order_id);
-- What may be forgotten.
CREATE INDEX idempotency_keys_final ON idempotency_keys (created_at) WHERE state = 'final';

-- Messages recorded with what they tell of; a relay publishes them.
CREATE TABLE outbox (
    id            TEXT PRIMARY KEY,       -- the message's id
    type          TEXT NOT NULL,          -- the routing key
    order_id      TEXT NOT NULL,
    payload       TEXT NOT NULL,          -- JSON
    trace_headers TEXT NOT NULL,          -- JSON object
    created_at    BIGINT NOT NULL,
    published_at  BIGINT
);

CREATE INDEX outbox_unpublished ON outbox (created_at, id) WHERE published_at IS NULL;

-- The highest token seen of each lease: a write under a lower one comes from a holder that was replaced.
CREATE TABLE fences (
    name  TEXT PRIMARY KEY,
    token BIGINT NOT NULL
);

INSERT INTO fences (name, token) VALUES ('reconciler', 0);
