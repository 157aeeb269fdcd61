//! Verification of GOST R 34.10-2012 (RFC 7091) and of the older GOST R 34.10-2001 (RFC 5832). The Kazakh standards
//! 34.10-2015 and 34.310-2004 are the same algorithms with other identifiers.
//!
//! All values are public, so nothing here needs constant time.

pub(crate) mod curve;
mod point;

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, Uint};
use curve::Parameters;
use point::{Field, Point};

/// The encoding of the two halves of a signature value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// s, then r, each big-endian (RFC 9215 §3). Used in Russia.
    BigEndianSr,
    /// r, then s, each little-endian, the reverse of the other order. Used in Kazakhstan.
    LittleEndianRs,
}

impl ByteOrder {
    /// Returns r and s, big-endian.
    fn split(self, signature: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut bytes = signature.to_vec();
        if self == Self::LittleEndianRs {
            bytes.reverse();
        }
        let r = bytes.split_off(bytes.len() / 2);
        (r, bytes)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn join(self, r: &[u8], s: &[u8]) -> Vec<u8> {
        let mut bytes = [s, r].concat();
        if self == Self::LittleEndianRs {
            bytes.reverse();
        }
        bytes
    }
}

/// Tells if these little-endian coordinates are a valid public key: below the modulus, on the curve, and of the
/// curve's prime order.
pub(crate) fn is_public_key(curve: &Parameters, x: &[u8], y: &[u8]) -> bool {
    if x.len() != curve.size || y.len() != curve.size {
        return false;
    }
    match curve.size {
        32 => Curve::<4>::new(curve).is_some_and(|c| c.public_key(x, y).is_some()),
        _ => Curve::<8>::new(curve).is_some_and(|c| c.public_key(x, y).is_some()),
    }
}

/// Verifies a signature over the digest (RFC 7091 §6.2). The digest is a little-endian number (RFC 9215 §2). The
/// coordinates of the key are little-endian.
pub(crate) fn verify(
    curve: &Parameters,
    key: (&[u8], &[u8]),
    digest: &[u8],
    order: ByteOrder,
    signature: &[u8],
) -> bool {
    if signature.len() != 2 * curve.size || digest.len() != curve.size {
        return false;
    }
    let (r, s) = order.split(signature);
    let checked = match curve.size {
        32 => Curve::<4>::new(curve).and_then(|c| c.verify(key, digest, &r, &s)),
        _ => Curve::<8>::new(curve).and_then(|c| c.verify(key, digest, &r, &s)),
    };
    checked.is_some()
}

/// The parameters of a curve in 64-bit words.
struct Curve<const L: usize> {
    field: FixedMontyParams<L>,
    order: FixedMontyParams<L>,
    a: Field<L>,
    b: Field<L>,
    base: Point<L>,
    cofactor: u32,
}

impl<const L: usize> Curve<L> {
    fn new(curve: &Parameters) -> Option<Self> {
        let field = modulus::<L>(&number(curve.p))?;
        let order = modulus::<L>(&number(curve.q))?;
        let element = |hex| FixedMontyForm::new(&number(hex), &field);
        Some(Self {
            a: element(curve.a),
            b: element(curve.b),
            base: Point::affine(element(curve.x), element(curve.y)),
            cofactor: curve.cofactor,
            field,
            order,
        })
    }

    /// The point with these coordinates. None unless they are below the modulus and on the curve.
    fn point(&self, x: &[u8], y: &[u8]) -> Option<Point<L>> {
        let (x, y) = (Uint::from_le_slice(x), Uint::from_le_slice(y));
        let p = self.field.modulus().as_ref();
        if x >= *p || y >= *p {
            return None;
        }
        let (x, y) = (self.element(&x), self.element(&y));
        let right = (x.square().add(&self.a)).mul(&x).add(&self.b);
        if y.square() != right {
            return None;
        }
        Some(Point::affine(x, y))
    }

    /// The point of a public key. None if the coordinates are not a valid public key.
    fn public_key(&self, x: &[u8], y: &[u8]) -> Option<Point<L>> {
        let point = self.point(x, y)?;
        // A curve with a cofactor has points of smaller order, which RFC 7091 §5.2 excludes.
        if self.cofactor > 1 {
            let q = self.order.modulus().as_ref();
            let none = Uint::ZERO;
            if !Point::sum(&self.a, (&point, q), (&point, &none)).is_infinity() {
                return None;
            }
        }
        Some(point)
    }

    fn verify(&self, key: (&[u8], &[u8]), digest: &[u8], r: &[u8], s: &[u8]) -> Option<()> {
        // The order of the point was checked when the key was read.
        let key = self.point(key.0, key.1)?;
        let q = self.order.modulus().as_ref();
        let (r, s) = (Uint::from_be_slice(r), Uint::from_be_slice(s));
        if r == Uint::ZERO || s == Uint::ZERO || r >= *q || s >= *q {
            return None;
        }
        let v = Option::from(self.digest_number(digest).invert_vartime());
        let v: FixedMontyForm<L> = v?;
        let z1 = self.scalar(&s).mul(&v).retrieve();
        let z2 = self.scalar(&r).neg().mul(&v).retrieve();
        let sum = Point::sum(&self.a, (&self.base, &z1), (&key, &z2));
        (self.x_mod_q(&sum)? == r).then_some(())
    }

    /// The digest as a number modulo q. Zero becomes 1 (RFC 7091 §6.1, step 2).
    fn digest_number(&self, digest: &[u8]) -> FixedMontyForm<L> {
        let e = self.scalar(&Uint::from_le_slice(digest));
        if e.retrieve() == Uint::ZERO {
            return FixedMontyForm::one(&self.order);
        }
        e
    }

    fn x_mod_q(&self, point: &Point<L>) -> Option<Uint<L>> {
        let (x, _) = point.to_affine()?;
        Some(self.scalar(&x).retrieve())
    }

    fn element(&self, number: &Uint<L>) -> Field<L> {
        FixedMontyForm::new(number, &self.field)
    }

    fn scalar(&self, number: &Uint<L>) -> FixedMontyForm<L> {
        FixedMontyForm::new(number, &self.order)
    }

    #[expect(clippy::many_single_char_names, reason = "the names of the RFC")]
    /// Signs with the secret `d` and the nonce `k` (RFC 7091 §6.1). Returns r and s, big-endian.
    #[cfg(any(test, feature = "testing"))]
    fn sign(&self, d: &Uint<L>, k: &Uint<L>, digest: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let c = Point::sum(&self.a, (&self.base, k), (&self.base, &Uint::ZERO));
        let r = self.x_mod_q(&c)?;
        let e = self.digest_number(digest);
        let s = self
            .scalar(&r)
            .mul(&self.scalar(d))
            .add(&self.scalar(k).mul(&e))
            .retrieve();
        let bytes = |n: &Uint<L>| n.to_be_bytes().as_ref().to_vec();
        (r != Uint::ZERO && s != Uint::ZERO).then(|| (bytes(&r), bytes(&s)))
    }
}

fn modulus<const L: usize>(number: &Uint<L>) -> Option<FixedMontyParams<L>> {
    let odd: Option<Odd<Uint<L>>> = Odd::new(*number).into();
    odd.map(FixedMontyParams::new_vartime)
}

/// Parses a number of the curve tables, which contain hexadecimal digits only.
fn number<const L: usize>(hex: &str) -> Uint<L> {
    let digits = hex.bytes().filter_map(|c| char::from(c).to_digit(16));
    digits.fold(Uint::ZERO, |n, digit| {
        n.shl_vartime(4).wrapping_add(&Uint::from_u32(digit))
    })
}

/// A big-endian number, padded to the size of the curve.
#[cfg(any(test, feature = "testing"))]
fn padded<const L: usize>(bytes: &[u8]) -> Uint<L> {
    let digits = bytes.iter().skip(bytes.len().saturating_sub(L * 8));
    digits.fold(Uint::ZERO, |n, b| {
        n.shl_vartime(8).wrapping_add(&Uint::from_u8(*b))
    })
}

/// The public key of a secret: x and y, little-endian.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn public_key(curve: &Parameters, secret: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    fn of<const L: usize>(curve: &Parameters, secret: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let ready = Curve::<L>::new(curve)?;
        let d = padded(secret);
        let point = Point::sum(&ready.a, (&ready.base, &d), (&ready.base, &Uint::ZERO));
        let (x, y) = point.to_affine()?;
        let bytes = |n: &Uint<L>| n.to_le_bytes().as_ref().to_vec();
        Some((bytes(&x), bytes(&y)))
    }
    match curve.size {
        32 => of::<4>(curve, secret),
        _ => of::<8>(curve, secret),
    }
}

/// Signs the digest with the nonce `k`. The secret and `k` are big-endian.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn sign(
    curve: &Parameters,
    secret: &[u8],
    k: &[u8],
    digest: &[u8],
    order: ByteOrder,
) -> Option<Vec<u8>> {
    fn of<const L: usize>(
        curve: &Parameters,
        secret: &[u8],
        k: &[u8],
        digest: &[u8],
    ) -> Option<(Vec<u8>, Vec<u8>)> {
        let ready = Curve::<L>::new(curve)?;
        let k = ready.scalar(&padded(k)).retrieve();
        ready.sign(&padded(secret), &k, digest)
    }
    let (r, s) = match curve.size {
        32 => of::<4>(curve, secret, k, digest)?,
        _ => of::<8>(curve, secret, k, digest)?,
    };
    Some(order.join(&r, &s))
}

#[cfg(test)]
mod tests;
