//! Listings, page by page.

/// Page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Rows of this page.
    pub items: Vec<T>,
    /// Cursor of the next page; `None` on the last.
    pub next: Option<String>,
}

/// Request for one page of a listing.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// `next` of the previous page; `None` for the first page.
    pub cursor: Option<String>,
    /// Largest number of rows, at most `PAGE_ROWS_MAX`.
    pub rows: u32,
}
