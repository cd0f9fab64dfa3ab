//! Pickles made by real Pythons (`tests/make.py`), and damaged and hostile ones.

use alloc::{format, string::ToString as _, vec, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::limits::{PICKLE_BYTES_MAX, PICKLE_MODULES_MAX, PICKLE_PARTS_MAX};

/// A pickle of the folder `tests`.
macro_rules! made {
    ($name:literal) => {
        include_bytes!(concat!("tests/", $name, ".pickle")).as_slice()
    };
}

/// Pickles of one function, with the minor version of the Python that made them.
const FUNCTIONS: &[(u8, &[u8])] = &[
    (8, made!("dill-3.8")),
    (9, made!("dill-3.9")),
    (10, made!("dill-3.10")),
    (11, made!("dill-3.11")),
    (12, made!("dill-3.12")),
    (13, made!("dill-3.13")),
    (14, made!("dill-3.14")),
    (8, made!("cloudpickle-3.8")),
    (9, made!("cloudpickle-3.9")),
    (10, made!("cloudpickle-3.10")),
    (11, made!("cloudpickle-3.11")),
    (12, made!("cloudpickle-3.12")),
    (13, made!("cloudpickle-3.13")),
    (14, made!("cloudpickle-3.14")),
    (11, made!("dill-protocol-2")),
    (11, made!("dill-protocol-3")),
    (11, made!("dill-protocol-5")),
];

fn wrapped(body: &[u8]) -> Vec<u8> {
    [b"\x80\x04", body, b"."].concat()
}

#[test]
fn each_python_is_recognised_by_its_bytecode() {
    for (minor, bytes) in FUNCTIONS {
        let inspected = inspect(bytes).unwrap();
        let version = PythonVersion::new(*minor);
        assert_eq!(inspected.versions, Some([version].into_iter().collect()), "of {version}");
        for module in ["os.path", "collections", "json"] {
            assert!(inspected.modules.iter().any(|name| name == module), "{version}: {:?}", inspected.modules);
        }
    }
}

#[test]
fn what_is_pickled_by_reference_has_no_version_but_modules() {
    let inspected = inspect(made!("reference")).unwrap();
    assert_eq!((inspected.versions, inspected.modules), (None, vec!["suite.calc".into()]));
    let inspected = inspect(made!("module")).unwrap();
    assert_eq!((inspected.versions, inspected.modules), (None, vec!["dill._dill".into(), "posixpath".into()]));
    assert_eq!(inspect(made!("arguments")).unwrap().versions, None);
    // INST and a GLOBAL of protocol 0.
    let inspected = inspect(&wrapped(b"(isuite.old\nPoint\ncother\nname\n")).unwrap();
    assert_eq!(inspected.modules, ["other", "suite.old"]);
}

#[test]
fn functions_of_no_known_python_fit_none() {
    let bytes = made!("dill-3.11");
    // RESUME of 3.11 and 3.12 becomes an opcode that neither has.
    let at = bytes.windows(2).position(|pair| pair == [0x97, 0]).unwrap();
    let changed = [&bytes[..at], &[0xfe], &bytes[at + 1..]].concat();
    let versions = inspect(&changed).unwrap().versions.unwrap();
    assert!(versions.is_empty(), "{versions}");
}

#[test]
fn functions_of_two_pythons_fit_none() {
    let [first, second] = [made!("dill-3.11"), made!("dill-3.13")].map(|bytes| &bytes[11..bytes.len() - 1]);
    let both = wrapped(&[first, second].concat());
    assert!(inspect(&both).unwrap().versions.unwrap().is_empty());
}

#[test]
fn truncated_pickles_are_refused_wherever_they_end() {
    let bytes = made!("dill-3.13");
    for len in 0..bytes.len() - 1 {
        let cut = [&bytes[..len], b"."].concat();
        assert!(inspect(&cut).is_err(), "cut to {len}");
    }
}

#[test]
fn faults_name_the_opcode_and_its_position() {
    let cases: &[(&[u8], PickleError)] = &[
        (b"", PickleError::NotOne),
        (b"\x80\x04", PickleError::NotOne),
        (b"\0asm\x01\0\0.", PickleError::NotOne),
        (b"\x80\x06N.", PickleError::Protocol(6)),
        (b"\x80\x04\x8c\x7fab.", PickleError::CutOff(2)),
        (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffab.", PickleError::CutOff(2)),
        (b"\x80\x04\x95\xff\0\0\0\0\0\0\0N.", PickleError::CutOff(2)),
        (b"\x80\x04cos.", PickleError::CutOff(2)),
        (b"\x80\x04\xff.", PickleError::Opcode { opcode: 0xff, at: 2 }),
        (b"\x80\x04N.N.", PickleError::Trailing(3)),
    ];
    for (bytes, error) in cases {
        assert_eq!((check(bytes), inspect(bytes).map(drop)), (Err(*error), Err(*error)), "{bytes:?}");
    }
    // Well-formed, but no machine can follow them.
    let cases: &[(&[u8], PickleError)] = &[
        (b"\x80\x04.", PickleError::Underflow(2)),
        (b"\x80\x04NR.", PickleError::Underflow(3)),
        (b"\x80\x04N(\x85.", PickleError::Underflow(4)),
        (b"\x80\x04Nt.", PickleError::Underflow(3)),
        (b"\x80\x04h\x07.", PickleError::Memo(2)),
        (b"\x80\x04j\xff\xff\xff\xff.", PickleError::Memo(2)),
        (b"\x80\x04gx\n.", PickleError::Memo(2)),
    ];
    for (bytes, error) in cases {
        assert_eq!(inspect(bytes), Err(*error), "{bytes:?}");
    }
}

#[test]
fn memory_and_work_are_bounded() {
    let large = wrapped(&vec![b'N'; PICKLE_BYTES_MAX]);
    assert_eq!(inspect(&large), Err(PickleError::TooLarge(large.len())));
    assert_eq!(check(&large), Ok(()));
    for (part, bound) in [(b"N".as_slice(), 1), (b"(", 1), (b"N\x940", 1), (b"N\x850", 1)] {
        let many = wrapped(&part.repeat(PICKLE_PARTS_MAX / bound + 1));
        assert_eq!(inspect(&many), Err(PickleError::TooManyParts), "{part:?}");
    }
    let modules: Vec<u8> = (0..=PICKLE_MODULES_MAX).flat_map(|n| format!("cm{n}\nf\n0").into_bytes()).collect();
    assert_eq!(inspect(&wrapped(&modules)), Err(PickleError::TooManyModules));
    // Tuples of tuples from the memo, which would be 2^1000 values if they were built.
    let bomb = wrapped(&[b"N\x94".as_slice(), &b"h\0h\0\x86q\0".repeat(1_000)].concat());
    assert_eq!(inspect(&bomb).map(|inspected| inspected.versions), Ok(None));
}

#[test]
fn bytecode_that_is_repeated_by_memo_is_read_once() {
    // A code object of much bytecode, and thousands of calls with the same arguments.
    let code = [b"B".as_slice(), &200_000_u32.to_le_bytes(), &[9, 0].repeat(100_000)].concat();
    let fields = [b"(K\0K\0K\0K\0K\x01K\0".as_slice(), &code, b")))\x8c\x01f\x8c\x01fK\x01C\0))t\x94"].concat();
    let bytes = wrapped(&[b"Nq\xff".as_slice(), &fields, &b"h\xffh\x01R".repeat(50_000)].concat());
    let inspected = inspect(&bytes).unwrap();
    assert_eq!(inspected.versions.map(|versions| versions.to_string()), Some("3.8 or 3.9".into()));
}

#[test]
fn the_hosts_pickles_are_ones() {
    // As CPython's pickletools shows them: PROTO, STACK_GLOBAL builtins RuntimeError, BINUNICODE8, TUPLE1, REDUCE.
    let bytes = runtime_error("deadline: é");
    assert_eq!(
        bytes,
        b"\x80\x04\x8c\x08builtins\x8c\x0cRuntimeError\x93\x8d\x0c\0\0\0\0\0\0\0deadline: \xc3\xa9\x85R.".to_vec()
    );
    assert_eq!(inspect(&bytes).unwrap().modules, ["builtins"]);
    assert_eq!(text("a"), b"\x80\x04\x8d\x01\0\0\0\0\0\0\0a.".to_vec());
}

#[test]
fn versions_are_written_as_people_write_them() {
    for text in ["3.8", "3.11", "3.14"] {
        assert_eq!(text.parse::<PythonVersion>().map(|version| version.to_string()), Ok(text.into()));
    }
    for text in ["", "3", "3.", "2.7", "3.011", "3.+1", "3.11.2", "3.999"] {
        assert_eq!(text.parse::<PythonVersion>(), Err(NoPython), "{text}");
    }
    let set = |minors: &[u8]| minors.iter().copied().map(PythonVersion::new).collect::<Versions>().to_string();
    assert_eq!([set(&[]), set(&[11]), set(&[12, 11])], ["", "3.11", "3.11 or 3.12"]);
    assert_eq!(set(&[8, 9, 10, 40]), "3.8, 3.9 or 3.10");
}

proptest! {
    #[test]
    fn changed_pickles_never_panic(which in 0..FUNCTIONS.len(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = FUNCTIONS[which].1.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let (checked, inspected) = (check(&bytes), inspect(&bytes));
        // The walk follows only what has the right structure.
        prop_assert!(checked.is_ok() || inspected.is_err());
    }
}
