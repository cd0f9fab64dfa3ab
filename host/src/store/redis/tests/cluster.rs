//! The conformance suite on a Cluster, and what is there only on one.

use super::cluster;
use crate::store::conformance::conformance;

conformance!(cluster);
