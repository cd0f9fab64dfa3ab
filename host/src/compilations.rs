//! Compilations of versions that are registered before they are compiled, since their code is large. Each is recorded in
//! the store and held by the node that works on it. Another node, or this one after a restart, takes over what is no
//! longer held, so that every version ends ready or failed. Also what compilations may cost each tenant.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use fusebox_core::{
    error::{ErrorClass, ErrorCode},
    function::FunctionVersion,
    limits::{COMPILE_HOLD_MS, COMPILE_STARTS_MAX, STORE_RETRY_MS},
    name::TenantId,
    outcome::Failure,
    quota::{UNLIMITED, compile_wait_ms},
};
use fusebox_sandbox::{ModuleError, Prepared};
use fusebox_store::{Compile, Store};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::modules::{Compiled, Modules, Place, Turn};
use crate::tenancy::QuotaBook;

/// Interval between searches for compilations that nobody holds.
const SEARCH: Duration = Duration::from_secs(5);
/// Compilations that this node takes over at a time; each is a task that waits for its turn.
const TAKEN_MAX: usize = 8;

/// Compilations of this node. Cheap to clone.
#[derive(Clone)]
pub struct Compilations(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    modules: Modules,
    quotas: Arc<QuotaBook>,
    /// Number of versions that were settled here, for those who wait.
    settled: watch::Sender<u64>,
    /// Number of compilations that were taken over and go on.
    taken: AtomicUsize,
}

/// Refusal of a tenant whose compile time is used up.
#[derive(Clone, Copy, Debug)]
pub struct NoCompileTime {
    /// Its quota in seconds per hour.
    pub per_hour_s: u64,
    /// Time until a second is there, in milliseconds.
    pub wait_ms: u64,
}

impl Compilations {
    /// Compiles with `modules` what the store has.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, modules: Modules, quotas: Arc<QuotaBook>) -> Self {
        let (settled, taken) = (watch::Sender::new(0), AtomicUsize::new(0));
        Self(Arc::new(Inner { store, modules, quotas, settled, taken }))
    }

    /// Returns the refusal of a tenant whose compile time is used up.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn refusal(&self, tenant: &TenantId) -> fusebox_store::Result<Option<NoCompileTime>> {
        let per_hour_s = self.0.quotas.of(tenant).compile_s_per_hour;
        let Some(left_ms) = self.charge(tenant, Duration::ZERO).await? else { return Ok(None) };
        let wait_ms = compile_wait_ms(per_hour_s.saturating_mul(1_000), left_ms);
        Ok((left_ms <= 0).then_some(NoCompileTime { per_hour_s, wait_ms }))
    }

    /// Charges compile time to a tenant; returns the milliseconds that are left, `None` without a bound.
    ///
    /// # Errors
    /// Fails if the store does not answer.
    pub async fn charge(&self, tenant: &TenantId, time: Duration) -> fusebox_store::Result<Option<i64>> {
        let per_hour_s = self.0.quotas.of(tenant).compile_s_per_hour;
        if per_hour_s == UNLIMITED {
            return Ok(None);
        }
        let used_ms = u64::try_from(time.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX);
        self.0.store.charge_compile(tenant, per_hour_s.saturating_mul(1_000), used_ms).await.map(Some)
    }

    /// Completes when a version was settled by this node after the call.
    pub fn settled(&self) -> impl Future<Output = ()> + use<> {
        let mut settled = self.0.settled.subscribe();
        async move {
            // Fails only when the node ends.
            let _ = settled.changed().await;
        }
    }

    /// Compiles a module while its tenant waits, and charges it, also if the client goes away meanwhile. `is_there` is the
    /// answer of [`Modules::is_there`].
    ///
    /// # Errors
    /// Fails if the module does not compile within its limits, or the host is shutting down.
    pub async fn compile_now(
        &self,
        place: Place,
        tenant: TenantId,
        is_there: bool,
        wasm: Bytes,
    ) -> Result<Prepared, ModuleError> {
        let (this, turn) = (self.clone(), place.turn().await?);
        let work = tokio::spawn(async move { this.compile_and_charge(turn, tenant, is_there, wasm).await });
        work.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a compilation panicked");
            Err(ModuleError { code: ErrorCode::Internal, message: "the host failed to compile the module".to_owned() })
        })
    }

    async fn compile_and_charge(
        &self,
        turn: Turn,
        tenant: TenantId,
        is_there: bool,
        wasm: Bytes,
    ) -> Result<Prepared, ModuleError> {
        let Compiled { result, time } = self.0.modules.upload(turn, tenant.clone(), is_there, wasm).await;
        if !time.is_zero()
            && let Err(error) = self.charge(&tenant, time).await
        {
            tracing::warn!(%error, %tenant, "compile time is not charged");
        }
        result
    }

    /// Compiles a version that was just registered, whose compilation this node holds.
    pub fn begin(&self, version: FunctionVersion, place: Place) {
        let this = self.clone();
        tokio::spawn(async move { this.work(Compile { version, starts: 1 }, place).await });
    }

    /// Takes over compilations that nobody holds, until `stop`.
    pub async fn follow(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let free = TAKEN_MAX.saturating_sub(self.0.taken.load(Ordering::Relaxed));
            match self.0.store.take_compiles(free, COMPILE_HOLD_MS).await {
                Ok(taken) => taken.into_iter().for_each(|compile| self.take_over(compile)),
                Err(error) => tracing::warn!(%error, "versions that wait to be compiled cannot be read"),
            }
            tokio::select! {
                () = sleep(SEARCH) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    fn take_over(&self, compile: Compile) {
        let Some(place) = self.0.modules.enter_accepted(compile.version.tenant.clone()) else { return };
        let this = self.clone();
        self.0.taken.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            tracing::info!(version = %compile.version.id, starts = compile.starts, "a compilation is taken over");
            this.work(compile, place).await;
            this.0.taken.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Compiles a version and settles it, and holds it meanwhile. Gives up if it is deleted.
    async fn work(&self, compile: Compile, place: Place) {
        let id = compile.version.id;
        let held = async {
            loop {
                sleep(Duration::from_millis(COMPILE_HOLD_MS / 3)).await;
                if let Ok(false) = self.0.store.hold_compile(id, COMPILE_HOLD_MS).await {
                    return;
                }
            }
        };
        tokio::select! {
            () = held => tracing::debug!(version = %id, "a version was deleted while it was compiled"),
            () = self.compile(compile, place) => {}
        }
        self.0.settled.send_modify(|count| *count += 1);
    }

    async fn compile(&self, Compile { version, starts }: Compile, place: Place) {
        let failure = match starts {
            ..=COMPILE_STARTS_MAX => match self.compiled(&version, place).await {
                Ok(failure) => failure,
                // Another node, or this one later, starts again.
                Err(reason) => {
                    tracing::warn!(version = %version.id, reason, "a compilation did not come to an end");
                    return;
                }
            },
            _ => Some(Failure::new(
                ErrorCode::CompileLimit,
                format!(
                    "the module was not compiled in {COMPILE_STARTS_MAX} attempts, each of which ended with its host:                      delete this version, make the module smaller, and deploy it again"
                ),
            )),
        };
        while let Err(error) = self.0.store.settle(version.id, failure.clone()).await {
            tracing::warn!(%error, version = %version.id, "the end of a compilation is not saved yet");
            sleep(Duration::from_millis(STORE_RETRY_MS)).await;
        }
    }

    /// Compiles a version and charges its tenant. Returns the failure if the module is at fault.
    ///
    /// # Errors
    /// Fails with the reason if the host is at fault.
    async fn compiled(&self, version: &FunctionVersion, place: Place) -> Result<Option<Failure>, String> {
        let FunctionVersion { tenant, module, .. } = version;
        let turn = place.turn().await.map_err(|error| error.message)?;
        let wasm = self.0.store.module(module).await.map_err(|error| error.to_string())?;
        let wasm = wasm.ok_or("the store does not have its module")?;
        match self.compile_and_charge(turn, tenant.clone(), false, wasm).await {
            Ok(_) => Ok(None),
            Err(error) if error.code.class() == ErrorClass::Client => Ok(Some(Failure::new(error.code, error.message))),
            Err(error) => Err(error.message),
        }
    }
}
