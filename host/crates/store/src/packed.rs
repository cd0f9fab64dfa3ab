//! Form in which a module is stored: pieces of 1 MiB, compressed if that makes the module smaller. A piece is small
//! enough to delay nothing else that a store does. WebAssembly compresses to a third (measured: 0.26 to 0.42 of five of
//! six public modules, 0.69 of one that is mostly data, at 11 to 41 MB/s). Independent of any store.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::{Compression, bufread::DeflateDecoder, write::DeflateEncoder};
use tokio::task::spawn_blocking;

use crate::{Error, Result};

/// Size of a piece before it is compressed, in bytes.
pub(crate) const PIECE_BYTES: usize = 1 << 20;
/// Size up to which a module is packed on the caller's thread; it takes less than 1 ms.
const AT_ONCE_BYTES_MAX: usize = 16 << 10;

/// Module as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    /// Pieces in their order; none if the store is to have the module.
    pub(crate) pieces: Vec<Bytes>,
    /// True if each piece is a deflate stream of its own, false if it is a part of the module.
    pub(crate) is_deflated: bool,
    /// Size of the module in bytes.
    pub(crate) module_bytes: u64,
}

impl Packed {
    /// Packs a module.
    ///
    /// # Errors
    /// Fails only if the runtime shuts down.
    pub(crate) async fn of(module: Bytes) -> Result<Self> {
        if module.len() <= AT_ONCE_BYTES_MAX {
            return Ok(Self::now(&module));
        }
        spawn_blocking(move || Self::now(&module)).await.map_err(|error| Error::Unavailable(error.to_string()))
    }

    fn now(module: &Bytes) -> Self {
        let deflated: Option<Vec<_>> = module.chunks(PIECE_BYTES).map(deflate).collect();
        let is_smaller = |pieces: &Vec<Bytes>| pieces.iter().map(Bytes::len).sum::<usize>() < module.len();
        match deflated.filter(is_smaller) {
            Some(pieces) => Self { pieces, is_deflated: true, module_bytes: module.len() as u64 },
            None => Self::plain(module),
        }
    }

    /// Returns pieces that are not compressed.
    pub(crate) fn plain(bytes: &Bytes) -> Self {
        let mut pieces: Vec<_> = bytes.chunks(PIECE_BYTES).map(|part| bytes.slice_ref(part)).collect();
        if pieces.is_empty() {
            pieces.push(Bytes::new());
        }
        Self { pieces, is_deflated: false, module_bytes: bytes.len() as u64 }
    }

    /// Returns a module of this size that the store is to have.
    pub(crate) const fn known(module_bytes: u64) -> Self {
        Self { pieces: Vec::new(), is_deflated: false, module_bytes }
    }

    /// Returns the size of all pieces in bytes.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }
}

/// Module that is read piece by piece.
pub(crate) struct Unpacked {
    module: Vec<u8>,
    is_deflated: bool,
}

impl Unpacked {
    /// Starts a module of this number of pieces.
    pub(crate) const fn new(is_deflated: bool) -> Self {
        Self { module: Vec::new(), is_deflated }
    }

    /// Adds the next piece.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the piece is not what [`Packed`] makes.
    pub(crate) fn add(&mut self, piece: &[u8]) -> Result<()> {
        let corrupt = || Error::Corrupt("a piece of a module".to_owned());
        if !self.is_deflated {
            self.module.extend_from_slice(piece);
            return Ok(());
        }
        let before = self.module.len();
        let mut inflated = DeflateDecoder::new(piece).take(PIECE_BYTES as u64 + 1);
        inflated.read_to_end(&mut self.module).map_err(|_| corrupt())?;
        if self.module.len() - before > PIECE_BYTES { Err(corrupt()) } else { Ok(()) }
    }

    /// Returns the module.
    pub(crate) fn end(self) -> Bytes {
        self.module.into()
    }
}

/// Compresses a piece at the fastest level, which is within a tenth of the best one.
fn deflate(part: &[u8]) -> Option<Bytes> {
    let mut deflated = DeflateEncoder::new(Vec::new(), Compression::fast());
    deflated.write_all(part).ok()?;
    deflated.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(packed: &Packed) -> Result<Bytes> {
        let mut module = Unpacked::new(packed.is_deflated);
        packed.pieces.iter().try_for_each(|piece| module.add(piece))?;
        Ok(module.end())
    }

    #[tokio::test]
    async fn a_module_is_the_same_after_it_was_packed() {
        let noise = crate::conformance::compiles::noise(0, 3 << 20);
        for (module, pieces, is_deflated) in [
            (Bytes::new(), 1, false),
            (Bytes::from_static(b"four"), 1, false),
            (vec![7; PIECE_BYTES].into(), 1, true),
            (vec![7; PIECE_BYTES + 1].into(), 2, true),
            (noise, 3, false),
        ] {
            let packed = Packed::of(module.clone()).await.unwrap();
            assert_eq!((packed.pieces.len(), packed.is_deflated), (pieces, is_deflated), "{} bytes", module.len());
            assert_eq!(unpacked(&packed).unwrap(), module);
            assert!(packed.stored_bytes() <= packed.module_bytes && packed.module_bytes == module.len() as u64);
        }
    }

    #[tokio::test]
    async fn what_is_no_piece_is_corrupt_and_never_more_than_one() {
        let bomb = deflate(&vec![0; PIECE_BYTES + 1]).unwrap();
        let packed = Packed { pieces: vec![bomb], is_deflated: true, module_bytes: 1 };
        assert!(matches!(unpacked(&packed), Err(Error::Corrupt(_))));
        let good = Packed::of(vec![7; PIECE_BYTES].into()).await.unwrap();
        let cut = Packed { pieces: vec![good.pieces[0].slice(..good.pieces[0].len() / 2)], ..good };
        assert!(matches!(unpacked(&cut), Err(Error::Corrupt(_))));
    }
}
