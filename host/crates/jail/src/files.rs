//! Access to files by Landlock, the kernel's access control that a process applies to itself. Rules that the kernel is
//! too old for are omitted; `seccomp` blocks most of the same operations.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd, RestrictionStatus,
    Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use crate::Inmate;

/// Newest version of Landlock that is used; older kernels enforce the rules they support.
const NEWEST: ABI = ABI::V7;

/// Returns the rules for an inmate; they take effect with [`restrict`].
pub(crate) fn ruleset(inmate: &Inmate) -> Result<RulesetCreated, String> {
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|ruleset| match inmate {
            // Landlock's network rules name individual ports, and a proxy connects to any.
            Inmate::Proxy => Ok(ruleset),
            _ => ruleset.handle_access(AccessNet::from_all(NEWEST)),
        })
        .and_then(|ruleset| ruleset.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create);
    let ruleset = ruleset.map_err(|error| error.to_string())?;
    match inmate {
        Inmate::Compiler | Inmate::Slot => Ok(ruleset),
        // Configuration of names and addresses, and certificate authorities.
        Inmate::Proxy => beneath(ruleset, "/".as_ref(), AccessFs::ReadFile | AccessFs::ReadDir),
        Inmate::Worker { cache } => beneath(ruleset, cache, kept()),
        Inmate::Helper { ports } => {
            let read = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute;
            let ruleset = beneath(ruleset, "/".as_ref(), read)?;
            let rules = ports.iter().map(|port| Ok::<_, RulesetError>(NetPort::new(*port, AccessNet::ConnectTcp)));
            ruleset.add_rules(rules).map_err(|error| error.to_string())
        }
    }
}

/// Returns the access rights in a directory of compiled modules: files, but no links, programs or devices.
fn kept() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::RemoveFile
}

fn beneath(
    ruleset: RulesetCreated,
    path: &std::path::Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, String> {
    let opened = PathFd::new(path).map_err(|error| error.to_string())?;
    ruleset.add_rule(PathBeneath::new(opened, access)).map_err(|error| error.to_string())
}

/// Applies the rules to this process permanently; returns the extent of their enforcement.
pub(crate) fn restrict(ruleset: RulesetCreated) -> Result<String, String> {
    let RestrictionStatus { ruleset, landlock, .. } = ruleset.restrict_self().map_err(|error| error.to_string())?;
    let version = match landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => kernel_abi.unwrap_or(effective_abi as i32),
        LandlockStatus::NotEnabled => {
            return Err("the kernel supports it but has not enabled it: boot with lsm=landlock,…".into());
        }
        LandlockStatus::NotImplemented => return Err("the kernel does not support it: it requires Linux 5.13".into()),
    };
    // Version 3 is the first to protect files from truncation; seccomp also blocks what later versions added.
    match ruleset {
        RulesetStatus::FullyEnforced => Ok(format!("version {version}")),
        RulesetStatus::PartiallyEnforced if version >= 3 => Ok(format!("version {version}, in part")),
        RulesetStatus::PartiallyEnforced => Err(format!("version {version}, in part: it requires Linux 6.2")),
        RulesetStatus::NotEnforced => Err("the kernel does not enforce it".into()),
    }
}
