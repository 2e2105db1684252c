-- What payments knows of each key. Times are microseconds since 1970.
CREATE TABLE charge (
    key TEXT PRIMARY KEY,
    -- Of amount and token, to tell a repeat from a reuse; none where a refund came before any charge.
    fingerprint TEXT,
    state TEXT NOT NULL CHECK (state IN ('started', 'charged', 'declined', 'refunded', 'voided')),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- From here on the tables of the built-in provider, which payments itself never reads or writes.

-- One row per key: the lock on which a charge and a refund of the same key meet.
CREATE TABLE provider_key (
    key TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('charged', 'refunded', 'voided'))
);

-- Every movement of money, once.
CREATE TABLE ledger (
    id TEXT PRIMARY KEY,
    key TEXT NOT NULL REFERENCES provider_key (key),
    kind TEXT NOT NULL CHECK (kind IN ('charge', 'refund')),
    currency TEXT NOT NULL,
    amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
    created_at BIGINT NOT NULL,
    UNIQUE (key, kind)
);
