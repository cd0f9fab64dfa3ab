//! Pages of listings.

use fusebox_api::Paging;
use fusebox_core::limits::PAGE_ROWS_MAX;

use fusebox_store::PageRequest;

/// Rows per page without a `limit`.
const PAGE_ROWS_DEFAULT: u32 = 100;

/// Returns the page as a request to the store.
pub(super) fn request(paging: Paging) -> PageRequest {
    PageRequest { cursor: paging.cursor, rows: paging.limit.unwrap_or(PAGE_ROWS_DEFAULT).clamp(1, PAGE_ROWS_MAX) }
}

/// Cuts the page from a complete list, sorted by `key`; returns its rows and its `next`.
pub(super) fn of<T>(paging: Paging, rows: Vec<T>, key: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let PageRequest { cursor, rows: most } = request(paging);
    let mut keyed: Vec<(String, T)> = rows.into_iter().map(|row| (key(&row), row)).collect();
    keyed.retain(|(key, _)| cursor.as_ref().is_none_or(|cursor| key > cursor));
    keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
    let more = keyed.len() > most as usize;
    keyed.truncate(most as usize);
    let next = keyed.last().filter(|_| more).map(|(key, _)| key.clone());
    (keyed.into_iter().map(|(_, row)| row).collect(), next)
}
