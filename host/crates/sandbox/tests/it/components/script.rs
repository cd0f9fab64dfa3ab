//! Runs of components that play a script of calls to `wasi:filesystem`, with the files of a version.

use bytes::Bytes;
use fusebox_core::{
    function::RunLimits,
    setup::{Setup, Start},
};
use fusebox_hostile::component::script::Script;
use fusebox_sandbox::{Call, FilesArchive, Run};

use crate::support::{ample, call, returned, run_call, sandbox, wasm};

/// Execution of a script.
pub(super) trait Played {
    fn run(&self, limits: RunLimits) -> Run;
    fn gives(&self, expected: &[u8]);
}

impl Played for Script {
    fn run(&self, limits: RunLimits) -> Run {
        let archive = archive();
        sandbox().add_files(&archive.digest, &archive.bytes).unwrap();
        let files_bytes = archive.bytes.len() as u64;
        let setup = Setup { files: Some(archive.digest), files_bytes, ..Setup::default() };
        let call = call(b"", limits);
        let call = Call { invocation: call.invocation.clone().started(setup, Start::default()), ..call };
        run_call(sandbox(), &wasm(&self.component()), call)
    }

    #[track_caller]
    fn gives(&self, expected: &[u8]) {
        assert_eq!(returned(&self.run(ample())), expected);
    }
}

fn archive() -> FilesArchive {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(7);
    tar.append_data(&mut header, "d/f", &b"content"[..]).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "d/link", "f").unwrap();
    FilesArchive::of(&Bytes::from(tar.into_inner().unwrap())).unwrap()
}
