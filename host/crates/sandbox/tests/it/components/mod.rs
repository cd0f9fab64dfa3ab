//! Components: worlds, limits, refusals, and the interfaces that the host offers.

mod commands;
mod files;
mod files_0_3;
mod hostile;
mod http;
mod interfaces;
mod lists;
mod refusals;
mod runs;
mod script;
