//! Grants at registration: compares the capabilities that a module imports with those granted to it.

use fusebox_core::{
    capability::{Capability, Grants},
    error::ErrorCode,
    function::FunctionVersion,
};

use super::error::Problem;

/// Refuses a module that imports capabilities it is not granted. `before` is the newest version of its name.
///
/// # Errors
/// `GrantRequired` with the missing capabilities and, in `new`, those of them that `before` was not granted either.
pub(super) fn check(needs: &[Capability], grants: &Grants, before: Option<&FunctionVersion>) -> Result<(), Problem> {
    let Err(lacks) = grants.check(needs) else { return Ok(()) };
    let mut detail = lacks.to_string();
    let new = before.map(|before| words(&before.grants.missing(needs))).filter(|new| !new.is_empty());
    if let (Some(new), Some(before)) = (&new, before) {
        detail.push_str(&format!("; new since version {}: {}", before.version, new.join(", ")));
    }
    let problem = Problem::new(ErrorCode::GrantRequired, detail).with("missing", words(&lacks.0));
    Err(match new {
        Some(new) => problem.with("new", new),
        None => problem,
    })
}

fn words(capabilities: &[Capability]) -> Vec<String> {
    capabilities.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_listed() {
        let kv = Grants { kv: true, ..Grants::default() };
        assert!(check(&[Capability::Kv], &kv, None).is_ok());
        let problem = check(&[Capability::Kv, Capability::Http], &kv, None).unwrap_err();
        assert_eq!(problem.code(), ErrorCode::GrantRequired);
        assert!(problem.detail().contains("grants=http=HOST"), "{}", problem.detail());
    }
}
