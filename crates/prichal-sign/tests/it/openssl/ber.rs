//! A DER value as a tree that can be encoded in the other forms of BER.

/// One element with a tag number below 31.
#[derive(Clone)]
pub(super) struct Node {
    pub tag: u8,
    pub value: Value,
}

#[derive(Clone)]
pub(super) enum Value {
    Octets(Vec<u8>),
    Members(Vec<Node>),
}

/// The parts that may be encoded in other forms.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Everything outside of signed parts: not attributes, certificates, lists or responses.
    Frame,
    /// The signed attributes as well.
    Attributes,
    /// Every part.
    All,
}

/// A deterministic pseudo-random generator (xorshift).
pub(super) struct XorShift(pub u64);

impl XorShift {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    pub(super) fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.roll(most as u64)).unwrap()
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.roll(100) < chance
    }
}

impl Node {
    pub(super) fn read(der: &[u8]) -> Self {
        let mut all = Self::read_all(der);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    fn read_all(mut der: &[u8]) -> Vec<Self> {
        let mut nodes = Vec::new();
        while let [tag, first, ..] = *der {
            let digits = usize::from(first & 0x7f);
            let (head, length) = if first < 0x80 {
                (2, digits)
            } else {
                let bytes = &der[2..2 + digits];
                let length = bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b));
                (2 + digits, length)
            };
            let content = &der[head..head + length];
            let value = if tag & 0x20 == 0 {
                Value::Octets(content.to_vec())
            } else {
                Value::Members(Self::read_all(content))
            };
            nodes.push(Self { tag, value });
            der = &der[head + length..];
        }
        assert!(der.is_empty());
        nodes
    }

    pub(super) fn primitive(tag: u8, octets: &[u8]) -> Self {
        Self {
            tag,
            value: Value::Octets(octets.to_vec()),
        }
    }

    pub(super) fn members(&mut self) -> &mut Vec<Self> {
        match &mut self.value {
            Value::Members(members) => members,
            Value::Octets(_) => panic!("{:#x} has no members", self.tag),
        }
    }

    fn list(&self) -> &[Self] {
        match &self.value {
            Value::Members(members) => members,
            Value::Octets(_) => &[],
        }
    }

    /// The element at this path: each number is the index of a member.
    pub(super) fn at(&mut self, place: &[usize]) -> &mut Self {
        place
            .iter()
            .fold(self, |node, index| &mut node.members()[*index])
    }

    pub(super) fn der(&self) -> Vec<u8> {
        let content = match &self.value {
            Value::Octets(octets) => octets.clone(),
            Value::Members(members) => members.iter().flat_map(Self::der).collect(),
        };
        framed(self.tag, 0, &content)
    }

    /// True for a certificate, a list or a response: signed body, algorithm, signature.
    fn is_signed(&self) -> bool {
        self.tag == 0x30 && self.list().get(2).is_some_and(|third| third.tag == 0x03)
    }

    /// True for a `SignerInfo`, whose fourth member is the signed attributes.
    fn is_signer(&self) -> bool {
        let tags: Vec<u8> = self.list().iter().map(|node| node.tag).collect();
        self.tag == 0x30 && matches!(tags[..], [0x02, _, 0x30, 0xa0, 0x30, 0x04, ..])
    }

    /// Encodes each element in another form with a probability of `chance` percent.
    pub(super) fn ber(&self, reach: Reach, chance: u64, dice: &mut XorShift) -> Vec<u8> {
        if self.is_signed() && reach != Reach::All {
            return self.der();
        }
        let Value::Members(members) = &self.value else {
            return self.ber_of_octets(chance, dice);
        };
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for (index, member) in members.iter().enumerate() {
            let fixed = self.is_signer() && index == 3 && reach == Reach::Frame;
            parts.push(if fixed {
                member.der()
            } else {
                member.ber(reach, chance, dice)
            });
        }
        if self.tag == 0x31 && dice.percent(chance) {
            let by = dice.below(parts.len().max(1));
            parts.rotate_left(by);
        }
        let content = parts.concat();
        if dice.percent(chance) {
            return indefinite(self.tag, &content);
        }
        let padding = if dice.percent(chance) {
            1 + dice.below(3)
        } else {
            0
        };
        framed(self.tag, padding, &content)
    }

    fn ber_of_octets(&self, chance: u64, dice: &mut XorShift) -> Vec<u8> {
        let Value::Octets(octets) = &self.value else {
            return self.der();
        };
        if self.tag == 0x04 && dice.percent(chance) {
            return segments(0x24, octets, 0, dice);
        }
        // OpenSSL does not read a zero length in the long form at the end of its container.
        let padding = if !octets.is_empty() && dice.percent(chance) {
            1 + dice.below(3)
        } else {
            0
        };
        framed(self.tag, padding, octets)
    }
}

/// An element with `padding` redundant length octets.
pub(super) fn framed(tag: u8, padding: usize, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|b| **b == 0).count();
    let digits = &length[zeros..];
    let mut head = vec![tag];
    if padding == 0 && content.len() < 0x80 {
        head.push(u8::try_from(content.len()).unwrap());
    } else {
        head.push(0x80 | u8::try_from(padding + digits.len()).unwrap());
        head.resize(head.len() + padding, 0);
        head.extend(digits);
    }
    [&head, content].concat()
}

pub(super) fn indefinite(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, 0x80], content, &[0, 0]].concat()
}

/// An octet string in segments. Some are empty, and some are segmented themselves.
pub(super) fn segments(tag: u8, octets: &[u8], depth: usize, dice: &mut XorShift) -> Vec<u8> {
    let mut parts = Vec::new();
    let mut rest = octets;
    while !rest.is_empty() {
        let (segment, after) = rest.split_at(1 + dice.below(rest.len()));
        rest = after;
        parts.push(match dice.roll(4) {
            // OpenSSL accepts five levels of segments.
            0 if depth < 3 => segments(0x24, segment, depth + 1, dice),
            1 => [framed(0x04, 0, &[]), framed(0x04, 2, segment)].concat(),
            _ => framed(0x04, 0, segment),
        });
    }
    if dice.percent(50) {
        indefinite(tag, &parts.concat())
    } else {
        framed(tag, 0, &parts.concat())
    }
}
