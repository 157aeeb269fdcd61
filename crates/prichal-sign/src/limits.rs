//! Hard limits that hold before and while bytes are read.

/// What a reader accepts at most. Larger input is refused, not cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one input, after PEM or base64 is decoded.
    pub size: usize,
    /// Levels of nesting.
    pub depth: usize,
    /// Elements (tag, length, value) of one input, at every level together.
    pub elements: usize,
    /// Members of one list that is kept in memory: signers, certificates, attributes, values.
    pub members: usize,
}

impl Limits {
    /// For a signature with its content.
    pub const SIGNATURE: Self = Self {
        size: 64 << 20,
        depth: 48,
        elements: 4_000_000,
        members: 256,
    };

    /// For a certificate, an OCSP response or a time-stamp token.
    pub const SMALL: Self = Self {
        size: 1 << 20,
        depth: 32,
        elements: 100_000,
        members: 256,
    };

    /// For a revocation list. Its entries are never kept apart from its bytes.
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
