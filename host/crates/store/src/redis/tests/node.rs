//! The conformance suite on one server.

use super::node;
use crate::conformance::conformance;

conformance!(node);
