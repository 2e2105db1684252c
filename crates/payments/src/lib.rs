//! Charges and refunds, each keyed, through a payment provider with a ledger.
