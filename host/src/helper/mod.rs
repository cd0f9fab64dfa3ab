//! Helper process of a jailed worker, which does what the worker no longer can: it starts compile children and connects
//! to the dispatchers named at its start, and to nothing else. It starts before the worker locks itself up and shares a
//! pair of sockets with it. For each request the worker creates another pair and sends one end of it, with a byte that
//! names the request.
//!
//! | module | holds |
//! |---|---|
//! | [`client`] | the worker's side |
//! | [`serve`] | the helper's side |
//! | [`proxy`] | another process, which sends guests' HTTP requests for the worker: both sides |
//! | [`vitals`] | reports of the worker's health: both sides |
//! | `passing` | file descriptors over a socket |
//!
//! A guest that has broken out gains compilations, each in a child with limits of its own, and connections to
//! dispatchers, which admit only peers with the join token.

pub mod client;
mod passing;
pub mod proxy;
pub mod serve;
pub mod vitals;

use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Starts `program` in a process group of its own, since Ctrl-C at the terminal makes the worker drain, and draining
/// may need this process. Returns the socket that is its stdin. The process is never waited for: it ends when this one
/// does.
fn start_beside(program: &Path, arguments: &[String], names_kept: &[&str]) -> io::Result<(UnixStream, Child)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).process_group(0);
    for name in names_kept {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    Ok((ours, command.spawn()?))
}

/// Request of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HelperRequest {
    /// Compile the module that follows.
    Compile,
    /// Connect to the dispatcher whose index among the addresses follows, as a byte, and pass the connection back.
    Connect,
    /// Take over the listener that follows, and ask the worker there for what is requested. Sent once, before the
    /// worker locks itself up.
    Vitals,
}

impl HelperRequest {
    const fn byte(self) -> u8 {
        match self {
            Self::Compile => b'c',
            Self::Connect => b'd',
            Self::Vitals => b'v',
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Compile, Self::Connect, Self::Vitals].into_iter().find(|request| request.byte() == byte)
    }
}

/// First byte of a response that succeeded; the result follows.
const DONE: u8 = 0;
/// First byte of a response that failed; the reason follows.
const FAILED: u8 = 1;

/// Number of requests that a helper serves at a time: the compilations of a host, and a few connections. A healthy
/// worker needs no more.
const WISHES_MAX: usize = 8;
/// Longest reason.
const REASON_BYTES_MAX: u64 = 4 << 10;
/// Longest time for one connection: a first packet that is lost twice is sent again within 3 s.
const CONNECT_TIME: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::{io, net::TcpListener, os::unix::net::UnixStream, sync::Arc, thread, time::Duration};

    use fusebox_core::{error::ErrorCode, limits::MODULE_BYTES_CEILING};
    use fusebox_sandbox::{Compiler, ModuleError};

    use super::{client::Helper, passing, serve};
    use fusebox_link::Dial as _;

    /// Test compiler: returns the module's length, and refuses an empty module.
    struct Measure;

    impl Compiler for Measure {
        fn compile(&self, wasm: &[u8]) -> (Result<Vec<u8>, ModuleError>, Duration) {
            let measured = match wasm.len() {
                0 => Err(ModuleError { code: ErrorCode::InvalidModule, message: "there is nothing".to_owned() }),
                length => Ok(length.to_string().into_bytes()),
            };
            (measured, Duration::ZERO)
        }
    }

    /// Starts a helper on a thread of this process that connects to `addresses`.
    fn helper(addresses: &[&str]) -> (Helper, thread::JoinHandle<io::Result<()>>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let addresses: Vec<String> = addresses.iter().map(|address| (*address).to_owned()).collect();
        let told = addresses.clone();
        let serving = thread::spawn(move || serve::serve(&theirs, &Arc::new(Measure), &told, |_| {}));
        (Helper::over(ours, addresses), serving)
    }

    #[test]
    fn modules_are_compiled_elsewhere_and_refusals_come_back() {
        let (helper, serving) = helper(&["127.0.0.1:1"]);
        assert_eq!(helper.compile(&vec![7; 3 << 20]).0.unwrap(), b"3145728");
        let refused = helper.compile(b"").0.unwrap_err();
        assert_eq!((refused.code, refused.message.as_str()), (ErrorCode::InvalidModule, "there is nothing"));
        let large = helper.compile(&vec![0; usize::try_from(MODULE_BYTES_CEILING).unwrap() + 1]).0.unwrap_err();
        assert_eq!(large.code, ErrorCode::Internal, "more than a module is not read");
        assert_eq!(helper.compile(b"ok").0.unwrap(), b"2", "and the helper goes on");
        drop(helper);
        serving.join().unwrap().unwrap();
    }

    #[tokio::test]
    async fn connections_are_made_elsewhere_and_handed_over() {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap().to_string());
        let (helper, _serving) = helper(&addresses.each_ref().map(String::as_str));
        for (listener, address) in listeners.iter().zip(&addresses) {
            let stream = helper.dial(address).await.unwrap();
            let (_, from) = listener.accept().unwrap();
            assert_eq!(stream.local_addr().unwrap(), from);
        }
        drop(listeners);
        let error = helper.dial(&addresses[1]).await.unwrap_err();
        assert!(error.to_string().contains("refused"), "{error}");
        let error = helper.dial("127.0.0.1:1").await.unwrap_err();
        assert!(error.to_string().contains("not started with"), "{error}");
    }

    #[tokio::test]
    async fn a_helper_connects_to_what_it_was_told_of_whatever_its_worker_says() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let told = ["127.0.0.1:1", "127.0.0.1:2"].map(str::to_owned);
        let one = told[..1].to_vec();
        let serving = thread::spawn(move || serve::serve(&theirs, &Arc::new(Measure), &one, |_| {}));
        let helper = Helper::over(ours, told.to_vec());
        let error = helper.dial(&told[1]).await.unwrap_err();
        assert!(error.to_string().contains("no such address"), "{error}");
        drop(helper);
        serving.join().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_helper_that_ends_is_noticed_and_refuses_nothing_silently() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let helper = Helper::over(ours, vec!["127.0.0.1:1".to_owned()]);
        let gone = helper.watch().unwrap();
        drop(theirs);
        gone.await.unwrap();
        assert_eq!(helper.compile(b"module").0.unwrap_err().code, ErrorCode::Internal);
        assert!(helper.dial("127.0.0.1:1").await.is_err());
    }

    #[test]
    fn nonsense_does_not_end_a_helper() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let addresses = ["127.0.0.1:1".to_owned()];
        let serving = thread::spawn(move || serve::serve(&theirs, &Arc::new(Measure), &addresses, |_| {}));
        let (sent, _kept) = UnixStream::pair().unwrap();
        passing::send(&ours, b'?', Some(&sent)).unwrap();
        passing::send::<UnixStream>(&ours, b'c', None).unwrap();
        let helper = Helper::over(ours, Vec::new());
        assert_eq!(helper.compile(b"ok").0.unwrap(), b"2");
        drop(helper);
        serving.join().unwrap().unwrap();
    }
}
