//! Search for tasks.

use fusebox_core::selection::{Order, Selection};

use crate::PageRequest;

/// Tasks that one search looks at. Reading and comparing them takes about 0.1 s of a store (measured), and other steps go
/// on between parts of it; a search that finds less continues from its cursor.
pub const FIND_TASKS_MAX: usize = 10_000;

/// Search for one page of a tenant's tasks. One call looks at [`FIND_TASKS_MAX`] tasks at most, so
/// a page can have fewer rows than there are, or none, and a cursor all the same.
#[derive(Clone, Debug)]
pub struct Find {
    /// Properties of the tasks.
    pub selection: Selection,
    /// Order of the tasks.
    pub order: Order,
    /// Page.
    pub page: PageRequest,
}

impl Find {
    /// Returns the search for all tasks, newest first.
    #[must_use]
    pub fn all(page: PageRequest) -> Self {
        Self { selection: Selection::default(), order: Order::Newest, page }
    }
}
