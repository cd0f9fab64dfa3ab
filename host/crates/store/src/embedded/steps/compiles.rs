//! Compilations of versions that are registered before they are compiled: who holds them, and how they end.

use fusebox_core::{
    function::{FunctionVersion, VersionState},
    id::FunctionId,
    outcome::Failure,
};

use super::Steps;
use crate::{
    Compile, Result,
    embedded::{
        engine::Space,
        keys,
        records::{self, CompileRecord, FunctionRecord},
    },
};

/// Largest number of compilations examined in one step.
const EXAMINED_MAX: usize = 1_000;

impl Steps<'_> {
    /// Holds the compilations that nobody holds, at most `max`, for `hold_ms`.
    pub(in crate::embedded) fn take_compiles(&mut self, max: usize, hold_ms: u64) -> Result<Vec<Compile>> {
        let prefix = keys::compiles();
        let mut taken = Vec::new();
        for key in self.group.keys(Space::Records, &prefix, &keys::past(&prefix), EXAMINED_MAX)? {
            let Some(id) = keys::last_function(&key) else { continue };
            let CompileRecord { held_until, starts } = self.compile_record(id)?.unwrap_or_default();
            if held_until > self.now || taken.len() >= max {
                continue;
            }
            let Some(record) = self.function_record(id)? else {
                self.group.remove(Space::Records, key);
                continue;
            };
            self.put_compile(id, hold_ms, starts.saturating_add(1))?;
            taken.push(Compile { version: record.version.clone(), starts: starts.saturating_add(1) });
        }
        Ok(taken)
    }

    /// Holds a compilation for longer. Returns false if it has ended.
    pub(in crate::embedded) fn hold_compile(&mut self, id: FunctionId, hold_ms: u64) -> Result<bool> {
        match self.compile_record(id)? {
            Some(record) => self.put_compile(id, hold_ms, record.starts).map(|()| true),
            None => Ok(false),
        }
    }

    /// Ends a compilation.
    pub(in crate::embedded) fn settle(
        &mut self,
        id: FunctionId,
        failure: Option<Failure>,
    ) -> Result<Option<FunctionVersion>> {
        let Some(record) = self.function_record(id)?.filter(|record| !record.deleted) else { return Ok(None) };
        let mut version = record.version.clone();
        if version.state != VersionState::Compiling {
            return Ok(Some(version));
        }
        if let Some(failure) = failure {
            let before = self.bytes_of(&version)?;
            version.state = VersionState::Failed(failure);
            self.recount(&version.tenant, before, self.bytes_of(&version)?)?;
            self.release_module(&version.module)?;
        } else {
            version.state = VersionState::Ready;
        }
        self.group.remove(Space::Records, keys::compile(id));
        self.put_function(&FunctionRecord { version: version.clone(), deleted: false })?;
        self.offer_newest(&version)?;
        Ok(Some(version))
    }

    /// Writes a compilation that is held from now on.
    pub(super) fn put_compile(&mut self, id: FunctionId, hold_ms: u64, starts: u32) -> Result<()> {
        let record = CompileRecord { held_until: self.now.plus(hold_ms), starts };
        self.group.put(Space::Records, keys::compile(id), records::encode(&record)?);
        Ok(())
    }

    fn compile_record(&self, id: FunctionId) -> Result<Option<CompileRecord>> {
        let bytes = self.group.read(Space::Records, &keys::compile(id))?;
        bytes.map(|bytes| records::decode("a compilation", bytes)).transpose()
    }
}
