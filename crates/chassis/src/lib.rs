//! All that a process needs that is not its business: lifecycle, admin endpoints, telemetry, server stack.
