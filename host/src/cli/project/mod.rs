//! Projects: folders with `fusebox.toml`, in which people write functions.
//!
//! | file | holds |
//! |---|---|
//! | `manifest`, `opened`, `place`, `schema` | the keys of `fusebox.toml`; a project read and checked; errors with their place; the keys as a JSON Schema |
//! | `language`, `toolchain` | languages; where their compilers are, and how to get what is missing |
//! | `new`, `templates` | `fusebox new`, and the projects that it makes |
//! | `build` | `fusebox build` |
//! | `deploy`, `changes` | what `fusebox deploy` sends of a project; differences between two versions |
//! | `local` | a sandbox of this process, and the answers to host calls in it |
//! | `dev` | `fusebox dev` |
//! | `once` | `fusebox run` |
//! | `samples`, `test` | samples with their golden files; `fusebox test` |

pub mod build;
pub(crate) mod changes;
pub(crate) mod deploy;
pub mod dev;
pub mod language;
mod local;
mod manifest;
pub mod new;
pub mod once;
mod opened;
mod place;
mod samples;
pub mod schema;
mod templates;
pub mod test;
mod toolchain;
