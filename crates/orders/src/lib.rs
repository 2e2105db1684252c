//! Places, shows and cancels orders: reserve, charge, confirm, with compensation.
