//! The choice of the Python that runs a pickle.

use fusebox_core::pickle::{PythonVersion, Versions};

/// Reason why no Python of this host runs a pickle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPython {
    /// Its bytecode belongs to a version that this host does not have.
    #[error("it was made by Python {made_by}; this host runs {here}: register it from one of these")]
    Version {
        /// Versions that can have made it.
        made_by: Versions,
        /// Versions of this host.
        here: String,
    },
    /// Its bytecode belongs to no version that is known.
    #[error("its functions were made by no Python from 3.8 to 3.14, or not by the same one; this host runs {here}")]
    Unknown {
        /// Versions of this host.
        here: String,
    },
    /// This host has no Python at all.
    #[error("this host has no Python: {}", crate::scripts::REMEDY)]
    Nothing,
}

/// Chooses among the versions of this host: one that can have made the pickle; among several, and where its bytecode
/// does not tell, the operator's, or else the newest.
///
/// # Errors
/// Fails if there is none, with what there is.
pub fn choose(
    here: &[PythonVersion],
    made_by: Option<Versions>,
    default: Option<PythonVersion>,
) -> Result<PythonVersion, NoPython> {
    let fits = |version: &PythonVersion| made_by.is_none_or(|versions| versions.contains(*version));
    let preferred = default.filter(|version| here.contains(version) && fits(version));
    let newest = || here.iter().copied().filter(fits).max();
    preferred.or_else(newest).ok_or_else(|| {
        let mut sorted = here.to_vec();
        sorted.sort_unstable();
        let listed = sorted.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match made_by {
            _ if here.is_empty() => NoPython::Nothing,
            Some(made_by) if !made_by.is_empty() => NoPython::Version { made_by, here: listed },
            _ => NoPython::Unknown { here: listed },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [PythonVersion; 2] = [PythonVersion::new(13), PythonVersion::new(11)];

    fn chosen(made_by: Option<&[u8]>, default: Option<u8>) -> Result<String, String> {
        let made_by = made_by.map(|minors| minors.iter().copied().map(PythonVersion::new).collect());
        let chosen = choose(&HERE, made_by, default.map(PythonVersion::new));
        chosen.map(|version| version.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_version_that_made_it_is_chosen() {
        for default in [None, Some(11), Some(13)] {
            assert_eq!(chosen(Some(&[11]), default).as_deref(), Ok("3.11"));
            assert_eq!(chosen(Some(&[13]), default).as_deref(), Ok("3.13"));
            assert_eq!(chosen(Some(&[11, 12]), default).as_deref(), Ok("3.11"));
        }
        assert_eq!(chosen(Some(&[11, 13]), Some(11)).as_deref(), Ok("3.11"));
        assert_eq!(chosen(Some(&[11, 13]), None).as_deref(), Ok("3.13"));
    }

    #[test]
    fn the_operators_version_or_the_newest_runs_what_does_not_tell() {
        assert_eq!(chosen(None, None).as_deref(), Ok("3.13"));
        assert_eq!(chosen(None, Some(11)).as_deref(), Ok("3.11"));
        assert_eq!(chosen(None, Some(12)).as_deref(), Ok("3.13"));
    }

    #[test]
    fn a_refusal_says_what_there_is() {
        let told = chosen(Some(&[10]), Some(11)).unwrap_err();
        assert!(told.contains("made by Python 3.10; this host runs 3.11, 3.13"), "{told}");
        let told = chosen(Some(&[8, 9]), None).unwrap_err();
        assert!(told.contains("made by Python 3.8 or 3.9; this host"), "{told}");
        let told = chosen(Some(&[]), None).unwrap_err();
        assert!(told.contains("no Python from 3.8 to 3.14"), "{told}");
        assert_eq!(choose(&[], None, None), Err(NoPython::Nothing));
    }
}
