//! Tests of archives and of the file system of a run.

use bytes::Bytes;
use tar::{EntryType, Header};

use super::{
    FsError, Kind,
    archive::{FilesArchive, FilesError},
    fs::{Files, Node, OpenOptions},
    tree::Tree,
};
use crate::limiter::Budget;

const NOW: u64 = 7;
const ROOM: u64 = 1 << 20;

/// Entry of a test's archive: its type, path, and content or target.
type Entry<'a> = (EntryType, &'a str, &'a str);

fn tar(entries: &[Entry<'_>]) -> Bytes {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, path, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o777);
        header.set_mtime(1_700_000_000);
        let is_file = *kind == EntryType::Regular;
        header.set_size(if is_file { content.len() as u64 } else { 0 });
        // Paths that the crate would refuse to write are what is tested.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..if is_file { 0 } else { content.len() }].copy_from_slice(if is_file {
            b""
        } else {
            content.as_bytes()
        });
        header.set_cksum();
        builder.append(&header, if is_file { content.as_bytes() } else { b"" }).unwrap();
    }
    builder.into_inner().unwrap().into()
}

const FILE: EntryType = EntryType::Regular;
const DIR: EntryType = EntryType::Directory;
const LINK: EntryType = EntryType::Symlink;

fn files() -> Files {
    let archive = FilesArchive::of(&tar(&[
        (FILE, "./usr/share/fonts/a.ttf", "font"),
        (LINK, "fonts", "usr/share/fonts"),
        (LINK, "usr/up", "../README"),
        (LINK, "loop", "loop"),
        (FILE, "README", "read me"),
        (DIR, "empty/", ""),
    ]))
    .unwrap();
    let tree = Tree::of(&archive.digest, &archive.bytes).unwrap();
    Files::new(tree.into(), Budget::new(ROOM), NOW)
}

fn at(files: &Files, path: &str) -> Result<Node, FsError> {
    files.look_up(Files::ROOT, path, true)
}

fn text(files: &Files, path: &str) -> Result<String, FsError> {
    let mut buffer = [0; 100];
    let read = files.read(at(files, path)?, 0, &mut buffer)?;
    Ok(String::from_utf8(buffer[..read].to_vec()).unwrap())
}

const CREATE: OpenOptions =
    OpenOptions { follow: true, create: true, exclusive: false, truncate: false, directory: false, write: true };

fn write(files: &mut Files, path: &str, text: &str) -> Result<(), FsError> {
    let node = files.open(Files::ROOT, path, OpenOptions { truncate: true, ..CREATE }, NOW)?;
    let written = files.write(node, 0, text.as_bytes(), NOW);
    files.close(node);
    written
}

fn names(files: &Files, path: &str) -> Vec<String> {
    files.entries(at(files, path).unwrap(), 0).unwrap().map(|entry| entry.name.to_owned()).collect()
}

#[test]
fn the_same_files_have_the_same_digest() {
    let plain = FilesArchive::of(&tar(&[(DIR, "d/", ""), (FILE, "d/f", "x")])).unwrap();
    let other = FilesArchive::of(&tar(&[(FILE, "./d//f", "x"), (DIR, "./", ""), (DIR, "d", "")])).unwrap();
    assert_eq!(plain, other);
    assert_eq!(FilesArchive::of(&plain.bytes).unwrap(), plain, "the canonical form is its own");
    let hard = FilesArchive::of(&tar(&[(FILE, "a", "x"), (EntryType::Link, "b", "a")])).unwrap();
    assert_eq!(hard, FilesArchive::of(&tar(&[(FILE, "b", "x"), (FILE, "a", "x")])).unwrap());
    assert!(Tree::of(&hard.digest, &plain.bytes).is_err(), "an archive is checked against its digest");
    let long = ["x"; 60].join("/");
    let deep = FilesArchive::of(&tar(&[(FILE, &long[..99], "deep")])).unwrap();
    let files = Files::new(Tree::of(&deep.digest, &deep.bytes).unwrap().into(), Budget::new(ROOM), NOW);
    assert_eq!(text(&files, &long[..99]).unwrap(), "deep");
}

#[test]
fn a_file_is_packed_beside_others_and_not_over_one() {
    let beside = tar(&[(FILE, "app/b", "y"), (FILE, "app/a", "x")]);
    let with = |tar: Option<&Bytes>, path: &str, content: &'static str| FilesArchive::with(tar, path, content.into());
    let both = FilesArchive::of(&beside).unwrap();
    assert_eq!(with(Some(&tar(&[(FILE, "app/b", "y")])), "app/a", "x"), Ok(both.clone()));
    assert_eq!(with(Some(&beside), "app/a", "x"), Ok(both), "it is there already");
    assert_eq!(with(Some(&beside), "app/a", "z"), Err(FilesError::Twice("app/a".to_owned())));
    assert_eq!(with(None, "app/a", "x"), FilesArchive::of(&tar(&[(FILE, "app/a", "x")])));
    assert_eq!(with(None, "../a", "x"), Err(FilesError::Escapes("../a".to_owned())));
}

#[test]
fn what_leads_out_or_is_no_file_is_refused_with_one_sentence() {
    let refused = |entries: &[Entry<'_>]| FilesArchive::of(&tar(entries)).unwrap_err();
    let sentences: Vec<String> = [
        refused(&[(FILE, "/etc/passwd", "")]),
        refused(&[(FILE, "a/../../b", "")]),
        refused(&[(LINK, "a", "/etc/passwd")]),
        refused(&[(LINK, "d/a", "../../b")]),
        refused(&[(EntryType::Link, "a", "missing")]),
        refused(&[(EntryType::Link, "a", "../a")]),
        refused(&[(EntryType::Char, "a", "")]),
        refused(&[(EntryType::Fifo, "a", "")]),
        refused(&[(FILE, "a", "1"), (FILE, "./a", "2")]),
        refused(&[(FILE, "a", "1"), (FILE, "a/b", "2")]),
        refused(&[(FILE, "tmp/a", "1")]),
        FilesArchive::of(&Bytes::from_static(b"no tar, but longer than nothing")).unwrap_err(),
    ]
    .iter()
    .map(ToString::to_string)
    .collect();
    let words = [
        "leads out",
        "leads out",
        "outside the directory",
        "outside the directory",
        "outside the directory",
        "outside the directory",
        "a device",
        "a named pipe",
        "twice",
        "no directory",
        "scratch",
        "not a tar archive",
    ];
    for (sentence, words) in sentences.iter().zip(words) {
        assert!(sentence.contains(words) && !sentence.contains('\n') && sentence.len() < 300, "{sentence}");
    }
}

#[test]
fn a_bomb_is_refused_by_its_announced_size() {
    let mut header = Header::new_gnu();
    header.set_entry_type(FILE);
    header.set_path("bomb").unwrap();
    header.set_size(1 << 40);
    header.set_cksum();
    let bomb = Bytes::copy_from_slice(header.as_bytes());
    assert!(FilesArchive::of(&bomb).is_err());
    let many: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let many: Vec<Entry<'_>> = many.iter().map(|name| (DIR, name.as_str(), "")).collect();
    assert_eq!(FilesArchive::of(&tar(&many)).unwrap_err(), FilesError::TooMany);
}

#[test]
fn paths_follow_links_and_dots_and_never_lead_out() {
    let files = files();
    for (path, content) in [
        ("README", "read me"),
        ("usr/share/../../README", "read me"),
        ("./usr/./up", "read me"),
        ("fonts/a.ttf", "font"),
        ("fonts/../../up", "read me"),
    ] {
        assert_eq!(text(&files, path).as_deref(), Ok(content), "{path}");
    }
    for (path, error) in [
        ("..", FsError::NotPermitted),
        ("usr/../../etc", FsError::NotPermitted),
        ("/README", FsError::NotPermitted),
        ("missing", FsError::NotFound),
        ("", FsError::NotFound),
        ("README/x", FsError::NotDirectory),
        ("README/", FsError::NotDirectory),
        ("loop", FsError::Loop),
        ("loop/x", FsError::Loop),
        (&"a/".repeat(3_000), FsError::NameTooLong),
        (&"x".repeat(300), FsError::NameTooLong),
    ] {
        assert_eq!(at(&files, path), Err(error), "{path}");
    }
    let share = at(&files, "usr/share").unwrap();
    assert_eq!(files.look_up(share, "../up", true), Err(FsError::NotPermitted), "a directory is a root of its own");
    assert_eq!(files.stat(files.look_up(Files::ROOT, "loop", false).unwrap()).unwrap().kind, Kind::Link);
    assert_eq!(files.read_link(Files::ROOT, "fonts"), Ok("usr/share/fonts"));
    assert_eq!(names(&files, "."), [".", "..", "tmp", "README", "empty", "fonts", "loop", "usr"]);
    let places: Vec<_> = files.entries(Files::ROOT, 0).unwrap().map(|entry| entry.next).collect();
    assert_eq!(places, [1, 2, 3, 4, 5, 6, 7, 8]);
    for from in 0..8 {
        let rest: Vec<_> = files.entries(Files::ROOT, from).unwrap().map(|entry| entry.next).collect();
        assert_eq!(rest, places[usize::try_from(from).unwrap()..]);
    }
}

#[test]
fn the_tree_is_read_only() {
    let mut files = files();
    assert_eq!(write(&mut files, "README", "x"), Err(FsError::ReadOnly));
    assert_eq!(write(&mut files, "new", "x"), Err(FsError::ReadOnly));
    assert_eq!(files.unlink(Files::ROOT, "README", NOW), Err(FsError::ReadOnly));
    assert_eq!(files.remove_directory(Files::ROOT, "empty", NOW), Err(FsError::ReadOnly));
    assert_eq!(files.remove_directory(Files::ROOT, "tmp", NOW), Err(FsError::ReadOnly));
    assert_eq!(files.create_directory(Files::ROOT, "d", NOW), Err(FsError::ReadOnly));
    assert_eq!(files.symlink("README", Files::ROOT, "l", NOW), Err(FsError::ReadOnly));
    let rename = |files: &mut Files, from, to| files.rename((Files::ROOT, from), (Files::ROOT, to), NOW);
    assert_eq!(rename(&mut files, "README", "tmp/x"), Err(FsError::ReadOnly));
    write(&mut files, "tmp/a", "x").unwrap();
    assert_eq!(rename(&mut files, "tmp/a", "b"), Err(FsError::CrossDevice));
    let link = files.link((Files::ROOT, "README"), (Files::ROOT, "tmp/l"), true, NOW);
    assert_eq!(link, Err(FsError::CrossDevice));
    assert_eq!(files.set_times(at(&files, "README").unwrap(), None, None, NOW), Err(FsError::ReadOnly));
}

#[test]
fn the_scratch_is_a_file_system() {
    let mut files = files();
    files.create_directory(Files::ROOT, "tmp/d/", NOW).unwrap();
    assert_eq!(files.create_directory(Files::ROOT, "tmp/d", NOW), Err(FsError::Exists));
    write(&mut files, "tmp/d/one", "1").unwrap();
    files.symlink("../../README", Files::ROOT, "tmp/d/up", NOW).unwrap();
    assert_eq!(text(&files, "tmp/d/up").unwrap(), "read me", "a link leads from the scratch into the tree");
    files.symlink("new", Files::ROOT, "tmp/dangling", NOW).unwrap();
    write(&mut files, "tmp/dangling", "made").unwrap();
    assert_eq!(text(&files, "tmp/new").unwrap(), "made");
    files.link((Files::ROOT, "tmp/d/one"), (Files::ROOT, "tmp/two"), false, NOW).unwrap();
    assert_eq!(files.stat(at(&files, "tmp/two").unwrap()).unwrap().names, 2);
    let rename = |files: &mut Files, from, to| files.rename((Files::ROOT, from), (Files::ROOT, to), NOW);
    assert_eq!(rename(&mut files, "tmp/two", "tmp/d/one"), Ok(()), "two names of one file");
    rename(&mut files, "tmp/two", "tmp/new").unwrap();
    assert_eq!(text(&files, "tmp/new").unwrap(), "1");
    assert_eq!(rename(&mut files, "tmp/d", "tmp/d/below"), Err(FsError::Invalid));
    assert_eq!(rename(&mut files, "tmp/d", "tmp/new"), Err(FsError::NotDirectory));
    assert_eq!(rename(&mut files, "tmp/new", "tmp/d"), Err(FsError::IsDirectory));
    assert_eq!(files.remove_directory(Files::ROOT, "tmp/d", NOW), Err(FsError::NotEmpty));
    rename(&mut files, "tmp/d", "tmp/e").unwrap();
    assert_eq!(text(&files, "tmp/e/one").unwrap(), "1");
    let exclusive = OpenOptions { exclusive: true, ..CREATE };
    assert_eq!(files.open(Files::ROOT, "tmp/new", exclusive, NOW), Err(FsError::Exists));
    assert_eq!(files.symlink("/etc", Files::ROOT, "tmp/l", NOW), Err(FsError::NotPermitted));
    assert_eq!(names(&files, "tmp"), [".", "..", "dangling", "new", "e"]);
}

#[test]
fn a_directory_is_emptied_while_it_is_listed() {
    let mut files = files();
    let made: Vec<String> = (0..50).map(|number| format!("tmp/{number}")).collect();
    made.iter().for_each(|path| write(&mut files, path, "x").unwrap());
    let tmp = at(&files, "tmp").unwrap();
    let (mut from, mut seen) = (0, 0);
    // Reads three entries at a time, and removes them before it goes on.
    loop {
        let some: Vec<_> =
            files.entries(tmp, from).unwrap().take(3).map(|one| (one.next, one.name.to_owned())).collect();
        let Some((next, _)) = some.last() else { break };
        from = *next;
        for (_, name) in some.iter().filter(|(_, name)| !name.starts_with('.')) {
            files.unlink(tmp, name, NOW).unwrap();
            seen += 1;
        }
    }
    assert_eq!((seen, names(&files, "tmp").len()), (50, 2));
}

#[test]
fn everything_in_the_scratch_counts_and_is_given_back() {
    let budget = Budget::new(ROOM);
    let mut files = Files::new(Tree::empty().into(), budget.clone(), NOW);
    write(&mut files, "tmp/f", &"x".repeat(10_000)).unwrap();
    assert!(budget.used() > 12_000);
    let large = files.open(Files::ROOT, "tmp/f", CREATE, NOW).unwrap();
    assert_eq!(files.set_size(large, ROOM, NOW), Err(FsError::NoSpace));
    assert_eq!(files.write(large, u64::MAX - 1, b"xy", NOW), Err(FsError::NoSpace));
    files.unlink(Files::ROOT, "tmp/f", NOW).unwrap();
    assert_eq!(files.stat(large).unwrap().names, 0, "an open file lives on without a name");
    files.close(large);
    assert_eq!(budget.used(), 0);
    let mut made = 0;
    while files.create_directory(Files::ROOT, &format!("tmp/{made}"), NOW).is_ok() {
        made += 1;
    }
    assert!(made > 100 && budget.used() <= ROOM, "{made}");
    (0..made).for_each(|number| files.remove_directory(Files::ROOT, &format!("tmp/{number}"), NOW).unwrap());
    assert_eq!(budget.used(), 0);
}
