//! User of a jailed process: an unprivileged one if the process was started as root.

use std::{fmt, str::FromStr};

use rustix::{
    process::{Gid, Uid, geteuid, getgid},
    thread::{set_thread_gid, set_thread_groups, set_thread_uid},
};

/// User and group ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl User {
    /// Unprivileged user `nobody`, which exists on every Linux.
    pub const NOBODY: Self = Self { uid: 65_534, gid: 65_534 };

    /// Returns this user if the process is root, and its current user otherwise.
    #[must_use]
    pub fn or_current(self) -> Self {
        match geteuid() {
            Uid::ROOT => self,
            current => Self { uid: current.as_raw(), gid: getgid().as_raw() },
        }
    }

    /// Changes to this user if the process is root, and drops all supplementary groups. With a single thread, the
    /// thread's user is that of the process.
    pub(crate) fn become_it(self) -> Result<String, String> {
        if geteuid() == Uid::ROOT {
            // May be forbidden if there are no groups to drop.
            let _ = set_thread_groups(&[]);
            set_thread_gid(Gid::from_raw(self.gid))
                .map_err(|error| format!("cannot switch to group {}: {error}", self.gid))?;
            set_thread_uid(Uid::from_raw(self.uid))
                .map_err(|error| format!("cannot switch to user {}: {error}", self.uid))?;
        }
        match geteuid() {
            Uid::ROOT => Err("is root".to_owned()),
            user => Ok(user.as_raw().to_string()),
        }
    }
}

impl FromStr for User {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a user: write UID or UID:GID as numbers other than 0");
        let (uid, gid) = text.split_once(':').unwrap_or((text, text));
        let number = |text: &str| text.parse().ok().filter(|number| *number != 0).ok_or_else(wrong);
        Ok(Self { uid: number(uid)?, gid: number(gid)? })
    }
}

impl fmt::Display for User {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.uid, self.gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_two_numbers_and_never_root() {
        assert_eq!("1000".parse(), Ok(User { uid: 1_000, gid: 1_000 }));
        assert_eq!("1000:7".parse(), Ok(User { uid: 1_000, gid: 7 }));
        for bad in ["0", "1:0", "root", "", "-1", "1:2:3"] {
            assert!(bad.parse::<User>().unwrap_err().contains("UID:GID"), "{bad}");
        }
    }
}
