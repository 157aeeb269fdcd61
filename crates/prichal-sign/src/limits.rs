//! Hard limits that are enforced before and during reading.

/// The limits of a reader. Larger input is refused, not cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The size of one input in bytes, after PEM or base64 is decoded.
    pub size: usize,
    /// The depth of nesting.
    pub depth: usize,
    /// The number of elements (tag, length, value) of one input, on all levels together.
    pub elements: usize,
    /// The number of members of a list that is kept in memory: signers, certificates, attributes, values.
    pub members: usize,
}

impl Limits {
    /// The limits of a signature with its content.
    pub const SIGNATURE: Self = Self {
        size: 64 << 20,
        depth: 48,
        elements: 4_000_000,
        members: 256,
    };

    /// The limits of a certificate, an OCSP response or a time-stamp token.
    pub const SMALL: Self = Self {
        size: 1 << 20,
        depth: 32,
        elements: 100_000,
        members: 256,
    };

    /// The limits of a revocation list. Its entries are never copied out of its bytes.
    pub const CRL: Self = Self {
        size: 64 << 20,
        depth: 24,
        elements: 16_000_000,
        members: 256,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::SIGNATURE
    }
}
