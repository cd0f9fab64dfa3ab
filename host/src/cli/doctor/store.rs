//! Checks that a host could keep its tasks at a store's address, without creating or writing anything there.

use std::path::Path;

use bytesize::ByteSize;
use rustix::fs::{Access, access, statvfs};

use super::{Finding, Verdict};
use crate::node::{parts::StoreAddress, store::RedisArgs};
use fusebox_store::{embedded::EmbeddedStore, redis::RedisStore};

const WHAT: &str = "store";

/// Examines a directory or a Redis.
pub(super) async fn finding(address: &StoreAddress, args: &RedisArgs) -> Finding {
    match address {
        StoreAddress::Directory(dir) => directory(dir),
        StoreAddress::Redis(url) => redis(url, args).await,
    }
}

fn directory(dir: &Path) -> Finding {
    let missing = |reason: String| {
        let remedy = "choose a writable directory with --store";
        Finding::bad(WHAT, Verdict::Missing, format!("{}: {reason}", dir.display()), remedy)
    };
    // The last ancestor of a relative path is the empty one, which stands for the working directory.
    let mut places = dir.ancestors().map(|place| if place.as_os_str().is_empty() { Path::new(".") } else { place });
    let Some(place) = places.find(|place| place.exists()) else { return missing("the path is invalid".to_owned()) };
    if !place.is_dir() {
        return missing(format!("{} is not a directory", place.display()));
    }
    if let Err(error) = access(place, Access::WRITE_OK | Access::EXEC_OK) {
        return missing(format!("{} cannot be written: {error}", place.display()));
    }
    let layout = match EmbeddedStore::layout(dir) {
        Ok(layout) => layout.map(|layout| format!(", {layout}")).unwrap_or_default(),
        Err(error) => {
            let remedy = "do as it says, or choose another directory with --store";
            return Finding::bad(WHAT, Verdict::Missing, error.to_string(), remedy);
        }
    };
    let free = statvfs(place).map(|disk| format!(", {} free", ByteSize(disk.f_bavail.saturating_mul(disk.f_frsize))));
    let free = free.unwrap_or_default();
    Finding::ok(
        WHAT,
        match place == dir {
            true => format!("{} is writable{layout}{free}", dir.display()),
            false => format!("{} does not exist yet, and can be created{free}", dir.display()),
        },
    )
}

async fn redis(url: &str, args: &RedisArgs) -> Finding {
    let access = match args.read() {
        Ok(access) => access,
        Err(error) => {
            let remedy = "use a file that this user can read";
            return Finding::bad(WHAT, Verdict::Missing, format!("{error:#}"), remedy);
        }
    };
    match RedisStore::examine(url, access).await {
        Ok(found) if found.advice.is_empty() => Finding::ok(WHAT, found.summary),
        Ok(found) => Finding::bad(WHAT, Verdict::Warning, found.summary, found.advice.join("; ")),
        Err(error) => {
            let remedy = "start that Redis, or name another store with --store";
            Finding::bad(WHAT, Verdict::Missing, error.to_string(), remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_system::clock::Clock;

    #[test]
    fn a_directory_is_looked_at_and_never_made() {
        let home = tempfile::tempdir().unwrap();
        let verdict = |path: &Path| directory(path).verdict;
        let new = home.path().join("a").join("b");
        assert_eq!((verdict(home.path()), verdict(&new)), (Verdict::Ok, Verdict::Ok));
        assert!(directory(&new).found.contains("does not exist yet"));
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "nothing is made");
        let file = home.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!((verdict(&file), verdict(&file.join("under"))), (Verdict::Missing, Verdict::Missing));
        EmbeddedStore::open(&new, Clock::System).unwrap();
        assert!(directory(&new).found.contains("is writable, fusebox layout "));
        std::fs::write(new.join("format"), "fusebox layout 9").unwrap();
        let newer = directory(&new);
        assert!(newer.verdict == Verdict::Missing && newer.found.contains("its layout is 9"), "{}", newer.found);
        assert_eq!(verdict(Path::new("some-new-directory")), Verdict::Ok);
    }
}
