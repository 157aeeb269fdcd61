//! Points of a curve y² = x³ + ax + b in Jacobian coordinates: (X/Z², Y/Z³).
//!
//! Names and formulas: "add-2007-bl" and "dbl-2007-bl" of the Explicit-Formulas Database
//! (Bernstein, Lange), for any a.

#![expect(
    clippy::many_single_char_names,
    reason = "the formulas are published with them"
)]

use crypto_bigint::Uint;
use crypto_bigint::modular::FixedMontyForm;

pub(super) type Field<const L: usize> = FixedMontyForm<L>;

/// The number of bits of a scalar's digit. Odd multiples up to 15 of each point are computed in advance.
const WINDOW: u32 = 5;

#[derive(Clone, Copy)]
pub(super) struct Point<const L: usize> {
    x: Field<L>,
    y: Field<L>,
    z: Field<L>,
}

impl<const L: usize> Point<L> {
    pub(super) fn affine(x: Field<L>, y: Field<L>) -> Self {
        let z = FixedMontyForm::one(x.params());
        Self { x, y, z }
    }

    fn infinity(like: &Self) -> Self {
        let one = FixedMontyForm::one(like.x.params());
        let z = FixedMontyForm::zero(like.x.params());
        Self { x: one, y: one, z }
    }

    pub(super) fn is_infinity(&self) -> bool {
        *self.z.as_montgomery() == Uint::ZERO
    }

    /// The affine coordinates. None for the point at infinity.
    pub(super) fn to_affine(self) -> Option<(Uint<L>, Uint<L>)> {
        if self.is_infinity() {
            return None;
        }
        let inverse: Option<Field<L>> = self.z.invert_vartime().into();
        let inverse = inverse?;
        let square = inverse.square();
        let x = self.x.mul(&square);
        let y = self.y.mul(&square).mul(&inverse);
        Some((x.retrieve(), y.retrieve()))
    }

    fn double(&self, a: &Field<L>) -> Self {
        let xx = self.x.square();
        let yy = self.y.square();
        let yyyy = yy.square();
        let zz = self.z.square();
        let s = self.x.add(&yy).square().sub(&xx).sub(&yyyy).double();
        let m = xx.double().add(&xx).add(&a.mul(&zz.square()));
        let x = m.square().sub(&s.double());
        let y = m.mul(&s.sub(&x)).sub(&yyyy.double().double().double());
        let z = self.y.add(&self.z).square().sub(&yy).sub(&zz);
        Self { x, y, z }
    }

    fn add(&self, other: &Self, a: &Field<L>) -> Self {
        if self.is_infinity() {
            return *other;
        }
        if other.is_infinity() {
            return *self;
        }
        let z1z1 = self.z.square();
        let z2z2 = other.z.square();
        let u1 = self.x.mul(&z2z2);
        let u2 = other.x.mul(&z1z1);
        let s1 = self.y.mul(&other.z).mul(&z2z2);
        let s2 = other.y.mul(&self.z).mul(&z1z1);
        let h = u2.sub(&u1);
        let r = s2.sub(&s1).double();
        if *h.as_montgomery() == Uint::ZERO {
            if *r.as_montgomery() == Uint::ZERO {
                return self.double(a);
            }
            return Self::infinity(self);
        }
        let i = h.double().square();
        let j = h.mul(&i);
        let v = u1.mul(&i);
        let x = r.square().sub(&j).sub(&v.double());
        let y = r.mul(&v.sub(&x)).sub(&s1.mul(&j).double());
        let z = self.z.add(&other.z).square().sub(&z1z1).sub(&z2z2).mul(&h);
        Self { x, y, z }
    }

    fn neg(&self) -> Self {
        Self {
            y: self.y.neg(),
            ..*self
        }
    }

    /// m·P + n·Q with shared doublings (Hankerson, Menezes, Vanstone, "Guide to Elliptic Curve Cryptography",
    /// algorithm 3.51).
    pub(super) fn sum(a: &Field<L>, p: (&Self, &Uint<L>), q: (&Self, &Uint<L>)) -> Self {
        let terms = [
            (p.0.odd_multiples(a), digits(p.1)),
            (q.0.odd_multiples(a), digits(q.1)),
        ];
        let length = terms[0].1.len().max(terms[1].1.len());
        let mut sum = Self::infinity(p.0);
        for at in (0..length).rev() {
            sum = sum.double(a);
            for (multiples, digits) in &terms {
                let digit = digits.get(at).copied().unwrap_or(0);
                if digit == 0 {
                    continue;
                }
                let multiple = &multiples[usize::from(digit.unsigned_abs() / 2)];
                sum = if digit > 0 {
                    sum.add(multiple, a)
                } else {
                    sum.add(&multiple.neg(), a)
                };
            }
        }
        sum
    }

    /// P, 3P, 5P, … 15P.
    fn odd_multiples(&self, a: &Field<L>) -> [Self; 1 << (WINDOW - 2)] {
        let double = self.double(a);
        let mut multiples = [*self; 1 << (WINDOW - 2)];
        for at in 1..multiples.len() {
            multiples[at] = multiples[at - 1].add(&double, a);
        }
        multiples
    }
}

/// The non-adjacent form of a scalar, least significant digit first. Each digit is zero or odd and below 16 in
/// magnitude, and is followed by at least four zeros if it is odd.
fn digits<const L: usize>(scalar: &Uint<L>) -> Vec<i8> {
    let bits = scalar.bit_width_vartime();
    let bit = |at: u32| i8::from(at < bits && scalar.bit_vartime(at));
    let mut digits = vec![0; bits as usize + 1];
    let mut carry = 0;
    let mut at = 0;
    while at <= bits {
        if bit(at) == carry {
            at += 1;
            continue;
        }
        let mut word = carry;
        for index in 0..WINDOW {
            word += bit(at + index) << index;
        }
        carry = word >> (WINDOW - 1) & 1;
        digits[at as usize] = word - (carry << WINDOW);
        at += WINDOW;
    }
    digits
}
