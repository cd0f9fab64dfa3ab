//! Packing of modules from directories with packages, links and much text.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

fn dir(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// Returns the paths packed, without [`DIR`], and the imports that were not found.
fn packed(dirs: &[&TempDir], names: &[&str]) -> Result<(Vec<String>, String), String> {
    let path: Vec<PathBuf> = dirs.iter().map(|dir| dir.path().canonicalize().unwrap()).collect();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let Packed(mut files) = pack(&path, &names).map_err(|error| error.to_string())?;
    let missing = files.remove("app/imports.txt").unwrap_or_default();
    let paths = files.into_keys().map(|path| path["app/".len()..].to_owned()).collect();
    Ok((paths, String::from_utf8(missing.to_vec()).unwrap()))
}

fn paths(dirs: &[&TempDir], names: &[&str]) -> Vec<String> {
    packed(dirs, names).unwrap().0
}

#[test]
fn modules_come_with_what_they_import() {
    let suite = dir(&[
        (
            "test_client.py",
            "import requests\nfrom .serialize import dumps\nfrom helpers import double, unknown\nimport os\n",
        ),
        ("helpers/__init__.py", "from . import inner\nfrom .deep.leaf import x\n"),
        ("helpers/inner.py", "try:\n    import numpy\nexcept ImportError:\n    pass\n"),
        ("helpers/double.py", ""),
        ("helpers/deep/leaf.py", "from ... import beyond\nfrom ..inner import y\n"),
        ("helpers/data.txt", "not packed"),
        ("unused.py", ""),
    ]);
    let (files, missing) = packed(&[&suite], &["builtins", "test_client", "dill._dill"]).unwrap();
    let expected =
        ["helpers/__init__.py", "helpers/deep/leaf.py", "helpers/double.py", "helpers/inner.py", "test_client.py"];
    assert_eq!(files, expected);
    assert_eq!(missing, "os\nrequests\n");
    assert_eq!(packed(&[&suite], &["json", "helpers_"]), Ok((Vec::new(), String::new())));
    assert_eq!(packed(&[], &["test_client"]), Ok((Vec::new(), String::new())));
}

#[test]
fn modules_are_found_as_python_finds_them() {
    let first = dir(&[("a.py", ""), ("a/__init__.py", ""), ("b/c.py", ""), ("d.py", "")]);
    let second = dir(&[("b/other.py", ""), ("d/__init__.py", ""), ("e/f/__init__.py", ""), ("e/f/g.py", "")]);
    let both = [&first, &second];
    assert_eq!(paths(&both, &["a"]), ["a/__init__.py"]);
    assert_eq!(paths(&both, &["a.attribute.more"]), ["a/__init__.py"]);
    // A directory without __init__.py is a package too; the first directory decides.
    assert_eq!(paths(&both, &["b.c", "b.other"]), ["b/c.py"]);
    assert_eq!(paths(&both, &["d"]), ["d.py"]);
    assert_eq!(paths(&both, &["e.f.g"]), ["e/f/__init__.py", "e/f/g.py"]);
}

#[test]
fn links_do_not_lead_out_and_bounds_hold() {
    let outside = dir(&[("secret.py", "password = 1")]);
    let suite = dir(&[("inside.py", ""), ("large.py", &"#".repeat(1 << 20)), ("two.py", "import large, inside\n#")]);
    symlink(outside.path().join("secret.py"), suite.path().join("linked.py")).unwrap();
    symlink(outside.path(), suite.path().join("folder")).unwrap();
    symlink(suite.path().join("inside.py"), suite.path().join("alias.py")).unwrap();
    for name in ["linked", "folder.secret"] {
        let told = packed(&[&suite], &[name]).unwrap_err();
        assert!(told.contains("leads out of its directory"), "{told}");
    }
    assert_eq!(paths(&[&suite], &["alias"]), ["alias.py"]);
    assert_eq!(paths(&[&suite], &["large"]), ["large.py"]);
    let told = packed(&[&suite], &["two"]).unwrap_err();
    assert!(told.contains("1048576 bytes"), "{told}");
    fs::write(suite.path().join("bytes.py"), [0xff]).unwrap();
    let told = packed(&[&suite], &["bytes"]).unwrap_err();
    assert!(told.contains("bytes.py of this host cannot be read"), "{told}");

    let mut many = String::new();
    for number in 0..=MODULES_MAX {
        fs::write(suite.path().join(format!("m{number}.py")), "").unwrap();
        many.push_str(&format!("import m{number}\n"));
    }
    fs::write(suite.path().join("many.py"), many).unwrap();
    let told = packed(&[&suite], &["many"]).unwrap_err();
    assert!(told.contains("more than 1000 modules"), "{told}");
}

#[test]
fn modules_that_import_each_other_are_packed_once() {
    let suite = dir(&[("a.py", "import b"), ("b.py", "import a, b, c.d"), ("c/__init__.py", "import a\nimport c.d.e")]);
    assert_eq!(paths(&[&suite], &["a"]), ["a.py", "b.py", "c/__init__.py"]);
    let files = pack(&[suite.path().canonicalize().unwrap()], &["a".to_owned()]).unwrap();
    let tar = files.tar().unwrap().unwrap();
    let mut archive = tar::Archive::new(&tar[..]);
    let names: Vec<_> = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
    assert!(names.iter().any(|name| name == Path::new("app/imports.txt")), "{names:?}");
    assert_eq!(Packed::default().tar().unwrap(), None);
}
