//! How much of a jail processes enter, as the command line says it.

use clap::ValueEnum;
use fusebox_jail::Setting;

/// Whether a process that runs what strangers sent locks itself up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum JailArg {
    /// As far as this kernel lets it; the log says how far
    #[default]
    Auto,
    /// Wholly, or it does not start
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
