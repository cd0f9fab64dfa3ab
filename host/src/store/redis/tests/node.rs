//! The conformance suite on one server.

use super::node;
use crate::store::conformance::conformance;

conformance!(node);
