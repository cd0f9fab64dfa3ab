//! Which files are left, by Landlock: the kernel's own access control that a process lays on itself. What the kernel is too
//! old for is left out; `seccomp` refuses most of it as well.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd, RestrictionStatus,
    Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use crate::Inmate;

/// The newest rules that are asked for; older kernels enforce those that they know.
const NEWEST: ABI = ABI::V7;

/// Rules for an inmate; they hold from [`restrict`] on.
pub(crate) fn ruleset(inmate: &Inmate) -> Result<RulesetCreated, String> {
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|ruleset| match inmate {
            // A rule names ports, and it connects to any.
            Inmate::Proxy => Ok(ruleset),
            _ => ruleset.handle_access(AccessNet::from_all(NEWEST)),
        })
        .and_then(|ruleset| ruleset.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create);
    let ruleset = ruleset.map_err(|error| error.to_string())?;
    match inmate {
        Inmate::Compiler | Inmate::Slot => Ok(ruleset),
        // What tells it names, addresses and certificate authorities.
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

/// What may be done in a directory of compiled modules: files, and no links, programs or devices.
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

/// Lays the rules on this process, for good; says how much of them holds.
pub(crate) fn restrict(ruleset: RulesetCreated) -> Result<String, String> {
    let RestrictionStatus { ruleset, landlock, .. } = ruleset.restrict_self().map_err(|error| error.to_string())?;
    let version = match landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => kernel_abi.unwrap_or(effective_abi as i32),
        LandlockStatus::NotEnabled => return Err("the kernel has it, but not enabled: boot with lsm=landlock,…".into()),
        LandlockStatus::NotImplemented => return Err("the kernel has none: Linux 5.13 and newer do".into()),
    };
    // Version 3 is the first that keeps files from being cut short; what came later, seccomp refuses too.
    match ruleset {
        RulesetStatus::FullyEnforced => Ok(format!("version {version}")),
        RulesetStatus::PartiallyEnforced if version >= 3 => Ok(format!("version {version}, in part")),
        RulesetStatus::PartiallyEnforced => Err(format!("version {version} in part: Linux 6.2 and newer do more")),
        RulesetStatus::NotEnforced => Err("the kernel does not enforce it".into()),
    }
}
