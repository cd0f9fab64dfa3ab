//! Rows of responses about many items: one per item of the request, in order, each with its own result.

use fusebox_api::batch::{Row, RowError};

use super::{accept::AcceptedTask, error::Problem};

/// Returns the row of an item.
pub(super) fn row(fate: &Result<AcceptedTask, Problem>) -> Row {
    let none = Row { status: String::new(), task: None, replayed: false, retry_of: None, error: None };
    match fate {
        Ok(AcceptedTask { id, new_at }) => {
            Row { status: "accepted".to_owned(), task: Some(id.to_string()), replayed: new_at.is_none(), ..none }
        }
        Err(problem) => {
            let error = RowError { code: problem.code().to_string(), message: problem.detail().to_owned() };
            Row { status: "refused".to_owned(), error: Some(error), ..none }
        }
    }
}
