//! What processes say of themselves at `/metrics`, as rates, percentiles and states.
