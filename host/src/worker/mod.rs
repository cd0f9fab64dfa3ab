//! Runs attempts: slots, and what fills them. Knows neither the store nor the dispatcher nor REST.

pub mod slots;
