//! Command line option for the strictness of jails.

use clap::ValueEnum;
use fusebox_jail::Setting;

/// Strictness of the jail around processes that handle untrusted input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum JailArg {
    /// As far as this kernel supports it; the log lists the missing layers
    #[default]
    Auto,
    /// Completely; otherwise the process does not start
    Require,
    /// Not at all
    Off,
}

impl From<JailArg> for Setting {
    fn from(jail: JailArg) -> Self {
        match jail {
            JailArg::Auto => Self::Auto,
            JailArg::Require => Self::Require,
            JailArg::Off => Self::Off,
        }
    }
}
