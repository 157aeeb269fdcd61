//! `AlgorithmIdentifier` (RFC 5280 §4.1.1.2).

use crate::der::{Reader, tag};
use crate::error::Result;
use crate::oid::Oid;

/// An algorithm with its parameters as they were encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Algorithm {
    pub oid: Oid,
    pub(crate) parameters: Option<Vec<u8>>,
}

impl Algorithm {
    pub(crate) fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self> {
        Self::from_inside(reader.sequence(what)?, what)
    }

    /// Reads the members when the sequence itself has another tag.
    pub(crate) fn from_inside(mut inside: Reader<'_>, what: &'static str) -> Result<Self> {
        let oid = Oid::read(&mut inside)?;
        let parameters = if inside.is_empty() {
            None
        } else {
            Some(inside.any()?.raw.to_vec())
        };
        inside.end(what)?;
        Ok(Self { oid, parameters })
    }

    /// Whether both are the same algorithm: absent parameters and NULL are one.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.oid == other.oid && self.real_parameters() == other.real_parameters()
    }

    pub(crate) fn real_parameters(&self) -> Option<&[u8]> {
        self.parameters.as_deref().filter(|p| *p != [tag::NULL, 0])
    }
}
