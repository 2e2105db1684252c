-- What is sold, and how many pieces are neither reserved nor sold.
CREATE TABLE product (
    sku TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    currency TEXT NOT NULL,
    amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
    available BIGINT NOT NULL CHECK (available >= 0)
);

-- One row per order that reserved something, or was released before it could. Times are microseconds since 1970.
CREATE TABLE reservation (
    order_id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('reserved', 'committed', 'released')),
    -- The message that committed it.
    committed_by TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- What an order reserved, at the price of that moment.
CREATE TABLE reservation_line (
    order_id TEXT NOT NULL REFERENCES reservation (order_id),
    sku TEXT NOT NULL REFERENCES product (sku),
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    currency TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    PRIMARY KEY (order_id, sku)
);
