//! `AlgorithmIdentifier` (RFC 5280 §4.1.1.2).

use crate::der::{self, Reader, tag};
use crate::error::Result;
use crate::oid::Oid;

/// An algorithm identifier. The parameters keep their encoding, so that they can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Algorithm {
    pub oid: Oid,
    pub(crate) parameters: Option<Vec<u8>>,
}

impl Algorithm {
    pub(crate) fn read(reader: &mut Reader<'_>, what: &'static str) -> Result<Self> {
        Self::from_inside(reader.sequence(what)?, what)
    }

    /// Reads the members of the sequence, for a sequence with another tag.
    pub(crate) fn from_inside(mut inside: Reader<'_>, what: &'static str) -> Result<Self> {
        let oid = Oid::read(&mut inside)?;
        let parameters = if inside.is_empty() {
            None
        } else {
            Some(der::definite(&inside.any()?)?)
        };
        inside.end(what)?;
        Ok(Self { oid, parameters })
    }

    /// True if both are the same algorithm. Absent parameters and NULL are equal.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.oid == other.oid && self.real_parameters() == other.real_parameters()
    }

    pub(crate) fn real_parameters(&self) -> Option<&[u8]> {
        self.parameters.as_deref().filter(|p| *p != [tag::NULL, 0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::write;

    #[test]
    fn one_algorithm_in_two_forms_is_the_same() {
        let read = |parameters: &[u8]| {
            let bytes = write::sequence(&[&[6, 2, 0x2a, 3], parameters]);
            Algorithm::read(&mut Reader::new(&bytes), "an algorithm").unwrap()
        };
        for (a, b, same) in [
            (&[][..], &[5, 0][..], true),
            (&[], &[5, 0x81, 0], true),
            (&[0x30, 2, 5, 0], &[0x30, 0x80, 5, 0, 0, 0], true),
            (&[4, 2, 1, 2], &[0x24, 6, 4, 1, 1, 4, 1, 2], true),
            (&[4, 2, 1, 2], &[4, 2, 1, 3], false),
            (&[], &[0x30, 0], false),
        ] {
            assert_eq!(read(a).same(&read(b)), same, "{a:02x?} {b:02x?}");
        }
    }
}
