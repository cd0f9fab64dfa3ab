//! Formats receipts for people.

use bytesize::ByteSize;
use fusebox_api::tasks::ReceiptView;

use super::count;

/// Formats the resources that a run used as one line.
#[must_use]
pub fn line(receipt: &ReceiptView) -> String {
    let fuel = receipt.fuel.map_or_else(|| "unknown".to_owned(), count);
    format!(
        "{fuel} fuel, {} wall ({} to instantiate), {} CPU, {} memory, {} out, {} log",
        time(receipt.wall_us),
        time(receipt.instantiate_us),
        time(receipt.cpu_us),
        ByteSize(receipt.memory_bytes),
        ByteSize(receipt.output_bytes),
        ByteSize(receipt.log_bytes)
    )
}

/// Formats microseconds in a suitable unit: `37 µs`, `1.2 ms`, `5.0 s`.
#[must_use]
pub fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us / 100 % 10),
        _ => format!("{}.{} s", us / 1_000_000, us / 100_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_unit() {
        assert_eq!([7, 1_250, 5_020_000].map(time), ["7 µs", "1.2 ms", "5.0 s"].map(str::to_owned));
    }
}
