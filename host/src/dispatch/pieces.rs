//! Sends modules and files in pieces to workers that lack them. Modules are sent compiled if both sides know a join token and have the same
//! engine, otherwise as wasm. Each link is served by a task of its own, since reading or compiling a module takes
//! longer than a heartbeat may be delayed. Links that need the same module share one copy and one compilation.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bytes::Bytes;
use fusebox_core::{
    id::{FilesDigest, ModuleDigest},
    limits::{ARTIFACT_BYTES_MAX, MODULE_PIECE_BYTES},
    wire::{self, Form, FromDispatcher},
};
use fusebox_sandbox::ArtifactKey;
use tokio::sync::{OnceCell, watch};

use super::missing::MissingModules;
use crate::modules::Modules;
use fusebox_link::LinkSender;
use fusebox_store::Store;

/// Request of a worker for a piece of a module.
#[derive(Clone, Copy, Debug)]
pub struct PieceRequest {
    /// Digest of the module.
    pub module: ModuleDigest,
    /// Form of the module.
    pub form: Form,
    /// Offset of the piece in bytes.
    pub offset: u64,
}

/// Module in one form, with the key that seals its compiled code.
type ModuleForm = (ModuleDigest, Form, Option<[u8; 32]>);
/// Bytes of the module, kept while a link needs them; empty if the form is unavailable.
type Whole = Arc<OnceCell<Bytes>>;

/// Serves modules.
pub struct Pieces {
    store: Arc<dyn Store>,
    artifacts: Option<Artifacts>,
    handed_out: Mutex<HashMap<ModuleForm, Weak<OnceCell<Bytes>>>>,
}

struct Artifacts {
    missing: MissingModules,
}

impl Pieces {
    /// Serves modules of this store; compiled ones if `modules` is given.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, modules: Option<Modules>) -> Self {
        let missing = |modules| MissingModules { store: store.clone(), modules };
        let artifacts = modules.map(|modules| Artifacts { missing: missing(modules) });
        Self { store, artifacts, handed_out: Mutex::default() }
    }

    /// Serves a link until the returned sender is dropped. A worker fetches one module at a time, so a new request
    /// replaces one that has not been served yet. Compiled code is sealed with the link's key; a link without a key
    /// gets none.
    pub fn answer(self: Arc<Self>, link: LinkSender, key: Option<ArtifactKey>) -> watch::Sender<Option<PieceRequest>> {
        let (ask, mut questions) = watch::channel(None);
        tokio::spawn(async move {
            let mut kept = None;
            while questions.changed().await.is_ok() {
                let question: Option<PieceRequest> = *questions.borrow_and_update();
                let answer = match question {
                    Some(question) => self.piece(&mut kept, key.as_ref(), question).await,
                    None => None,
                };
                // A link whose send fails is closed, which its reader notices.
                if let Some(Ok(answer)) = answer.map(|answer| wire::encode(&answer)) {
                    let _ = link.send(answer.into());
                }
            }
        });
        ask
    }

    /// Returns the piece; `None` on a failure, after which the worker repeats the request. The module stays in `kept`
    /// until its last piece or another module is requested.
    async fn piece(
        &self,
        kept: &mut Option<(ModuleForm, Whole)>,
        key: Option<&ArtifactKey>,
        question: PieceRequest,
    ) -> Option<FromDispatcher> {
        let PieceRequest { module, form, offset } = question;
        // The other forms need no key and are shared between all links.
        let key = key.filter(|_| matches!(form, Form::Artifact { .. }));
        let what = (module, form, key.map(|key| key.0));
        let whole = match kept.take() {
            Some((kept, whole)) if kept == what => whole,
            _ => self.shared(what),
        };
        let bytes = match whole.get_or_try_init(|| self.read(module, form, key)).await {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(%module, %error, "cannot read a module for a worker");
                return None;
            }
        };
        let total = bytes.len() as u64;
        let (from, to) = (offset.min(total), offset.saturating_add(MODULE_PIECE_BYTES).min(total));
        let bytes = bytes.slice(usize::try_from(from).ok()?..usize::try_from(to).ok()?);
        *kept = (to < total).then_some((what, whole));
        Some(FromDispatcher::Piece { module, form, offset, total, bytes })
    }

    /// Returns the copy shared with other links, or a new empty one.
    fn shared(&self, what: ModuleForm) -> Whole {
        let mut handed_out = self.handed_out.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(whole) = handed_out.get(&what).and_then(Weak::upgrade) {
            return whole;
        }
        handed_out.retain(|_, whole| whole.strong_count() > 0);
        let whole = Whole::default();
        handed_out.insert(what, Arc::downgrade(&whole));
        whole
    }

    async fn read(&self, module: ModuleDigest, form: Form, key: Option<&ArtifactKey>) -> fusebox_store::Result<Bytes> {
        let (engine, artifacts, key) = match (form, self.artifacts.as_ref().zip(key)) {
            (Form::Wasm, _) => return Ok(self.store.module(&module).await?.unwrap_or_default()),
            (Form::Files, _) => return Ok(self.store.files(&FilesDigest(module.0)).await?.unwrap_or_default()),
            (Form::Artifact { .. }, None) => return Ok(Bytes::new()),
            (Form::Artifact { engine }, Some((artifacts, key))) => (engine, artifacts, key),
        };
        // Empty bytes make every waiting worker compile the module itself, instead of all retrying here in turn.
        Ok(artifacts.read_or_compile(module, engine, key).await.unwrap_or_else(|reason| {
            tracing::warn!(%module, reason, "no artifact for a worker: it compiles the module itself");
            Bytes::new()
        }))
    }
}

impl Artifacts {
    async fn read_or_compile(&self, module: ModuleDigest, engine: u64, key: &ArtifactKey) -> Result<Bytes, String> {
        if engine != self.missing.modules.engine_hash() {
            return Err("its engine is of another version or another kind of machine".to_owned());
        }
        if let Some(artifact) = self.read(module, key).await? {
            return Ok(artifact);
        }
        self.missing.prepare(None, &module).await?;
        self.read(module, key).await?.ok_or_else(|| "it is missing or too large".to_owned())
    }

    async fn read(&self, module: ModuleDigest, key: &ArtifactKey) -> Result<Option<Bytes>, String> {
        let exported = self.missing.modules.export(module, key.clone()).await;
        let artifact = exported.map_err(|error| error.to_string())?;
        Ok(artifact.filter(|artifact| artifact.len() as u64 <= ARTIFACT_BYTES_MAX).map(Bytes::from))
    }
}

#[cfg(test)]
mod tests {
    use fusebox_core::{
        function::{Abi, Grants, RunLimits},
        name::TenantId,
    };
    use fusebox_sandbox::{CompileCommand, ModuleLimits, Options, Sandbox};

    use super::*;
    use crate::telemetry::metrics::Metrics;
    use fusebox_store::{Functions as _, NewFunction, embedded::EmbeddedStore};
    use fusebox_system::{clock::Clock, random};

    const MODULE: ModuleDigest = ModuleDigest([4; 32]);

    async fn store_with(wasm: Bytes) -> (Arc<dyn Store>, tempfile::TempDir) {
        let home = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(home.path(), Clock::System).unwrap();
        let new = NewFunction {
            id: random::function_id(Clock::System.now()),
            tenant: TenantId::default_tenant(),
            name: "f".parse().unwrap(),
            module: MODULE,
            abi: Abi::Core,
            limits: RunLimits::default(),
            grants: Grants::default(),
            setup: fusebox_core::setup::Setup::default(),
            files: Bytes::new(),
            versions_max: fusebox_core::quota::UNLIMITED,
            stored_max: fusebox_core::quota::UNLIMITED,
        };
        store.register(new, wasm).await.unwrap();
        (Arc::new(store), home)
    }

    /// Returns offset and size of the piece in a reply, and the total size.
    async fn ask(pieces: &Pieces, kept: &mut Option<(ModuleForm, Whole)>, question: PieceRequest) -> (u64, u64, usize) {
        match pieces.piece(kept, Some(&ArtifactKey([1; 32])), question).await {
            Some(FromDispatcher::Piece { module, form, offset, total, bytes }) => {
                assert_eq!((module, form), (question.module, question.form));
                (offset, total, bytes.len())
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_module_is_kept_until_its_last_piece() {
        let size = MODULE_PIECE_BYTES + 7;
        let (store, _home) = store_with(vec![1; usize::try_from(size).unwrap()].into()).await;
        let (pieces, mut kept) = (Pieces::new(store, None), None);
        let question = |offset| PieceRequest { module: MODULE, form: Form::Wasm, offset };
        assert_eq!(ask(&pieces, &mut kept, question(0)).await, (0, size, 256 << 10));
        assert!(kept.is_some());
        let mut other = None;
        ask(&pieces, &mut other, question(0)).await;
        let shared = kept.as_ref().zip(other.as_ref()).is_some_and(|((_, one), (_, two))| Arc::ptr_eq(one, two));
        assert!(shared, "two links share one copy");
        drop(other);
        assert_eq!(ask(&pieces, &mut kept, question(MODULE_PIECE_BYTES)).await, (MODULE_PIECE_BYTES, size, 7));
        assert!(kept.is_none());
        assert!(pieces.handed_out.lock().unwrap().values().all(|whole| whole.strong_count() == 0));
        assert_eq!(ask(&pieces, &mut kept, question(u64::MAX)).await, (u64::MAX, size, 0));
        let unknown = PieceRequest { module: ModuleDigest([5; 32]), ..question(0) };
        assert_eq!(ask(&pieces, &mut kept, unknown).await, (0, 0, 0));
    }

    #[tokio::test]
    async fn an_artifact_that_cannot_be_had_has_no_bytes() {
        let (store, home) = store_with(Bytes::from_static(b"no wasm")).await;
        let sandbox = Sandbox::new(Options {
            slots: 1,
            ceiling: RunLimits::CEILING,
            modules: ModuleLimits::default(),
            cache_dir: home.path().join("artifacts"),
            cache_bytes_max: 1 << 30,
            compile_command: CompileCommand { program: "/nowhere/at/all".into(), args: Vec::new() },
        });
        let modules = Modules::new(sandbox.unwrap(), Arc::new(Metrics::new(0)));
        let engine = modules.engine_hash();
        let question = |engine| PieceRequest { module: MODULE, form: Form::Artifact { engine }, offset: 0 };
        let able = Pieces::new(store.clone(), Some(modules));
        for (what, pieces, engine) in [
            ("nothing is compiled here", &Pieces::new(store, None), engine),
            ("another engine", &able, engine ^ 1),
            ("it does not compile", &able, engine),
        ] {
            assert_eq!(ask(pieces, &mut None, question(engine)).await, (0, 0, 0), "{what}");
        }
        let without = able.piece(&mut None, None, question(engine)).await;
        assert!(matches!(without, Some(FromDispatcher::Piece { total: 0, .. })), "without a token: {without:?}");
    }
}
