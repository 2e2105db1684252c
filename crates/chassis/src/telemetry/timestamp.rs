//! Writes the time of a log line: RFC 3339, UTC, microseconds. By hand, because it is done once per request.

use std::time::{SystemTime, UNIX_EPOCH};

/// Appends `2026-11-03T10:15:30.123456Z`. Times before 1970 count as 1970.
pub(super) fn write(buffer: &mut Vec<u8>, time: SystemTime) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    for (value, digits, after) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (second / 3_600, 2, b':'),
        (second / 60 % 60, 2, b':'),
        (second % 60, 2, b'.'),
        (u64::from(since.subsec_micros()), 6, b'Z'),
    ] {
        write_digits(buffer, value, digits);
        buffer.push(after);
    }
}

/// The date that many days after 1970-01-01, in years that begin in March, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

fn write_digits(buffer: &mut Vec<u8>, value: u64, digits: u32) {
    for place in (0..digits).rev() {
        buffer.push(b'0' + (value / 10_u64.pow(place) % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        for (micros, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (951_868_800_000_001, "2000-03-01T00:00:00.000001Z"),
            (1_709_251_199_000_000, "2024-02-29T23:59:59.000000Z"),
            (1_793_960_130_123_456, "2026-11-06T10:15:30.123456Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        ] {
            let mut buffer = Vec::new();
            write(&mut buffer, UNIX_EPOCH + Duration::from_micros(micros));
            assert_eq!(String::from_utf8(buffer).unwrap(), expected);
        }
    }
}
