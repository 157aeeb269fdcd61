//! Mutated inputs: seeds with changed bytes, moved or repeated pieces, and replaced JSON values.

use rand::{Rng, RngExt as _, SeedableRng as _, rngs::SmallRng};
use serde_json::Value;

/// The longest mutated input, in bytes.
const MAX_INPUT: usize = 256 * 1024;
/// The largest number of repetitions of one piece, which is enough to find unbounded recursion.
const MAX_REPEATS: usize = 20_000;
/// Bytes with a meaning for some parser.
const TOKENS: [&[u8]; 30] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud83d",
    b",",
    b":",
    b"null",
    b"-0",
    b"1e400",
    b"18446744073709551616",
    b"\r\n",
    b"\r\n\r\n",
    b"--",
    b"=",
    b";",
    b"%",
    b"%00",
    b"../",
    b"/",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x30\x80",
    b"\x30\x84\xff\xff\xff\xff",
    b"bytes=",
    b"/a/b/c",
    b"\xd0\x9f",
];

/// A source of mutated inputs. Equal names give equal inputs.
pub struct Mutator {
    random: SmallRng,
    seeds: Vec<Vec<u8>>,
}

impl Mutator {
    /// Starts from these seeds, or from an empty input if there are none.
    pub fn new(name: &str, mut seeds: Vec<Vec<u8>>) -> Self {
        if seeds.is_empty() {
            seeds.push(Vec::new());
        }
        let number = name
            .bytes()
            .fold(17, |sum: u64, byte| sum.wrapping_mul(131) ^ u64::from(byte));
        Self {
            random: SmallRng::seed_from_u64(number),
            seeds,
        }
    }

    /// The next input, at most 256 KiB long.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.seed();
        if self.random.random_bool(0.4)
            && let Ok(mut value) = serde_json::from_slice(&input)
        {
            self.change_json(&mut value);
            input = value.to_string().into_bytes();
        } else {
            for _ in 0..self.random.random_range(1..5) {
                self.change_bytes(&mut input);
            }
        }
        input.truncate(MAX_INPUT);
        input
    }

    fn seed(&mut self) -> Vec<u8> {
        let at = self.random.random_range(0..self.seeds.len());
        self.seeds[at].clone()
    }

    fn change_bytes(&mut self, input: &mut Vec<u8>) {
        let at = self.random.random_range(0..=input.len());
        let end = self.random.random_range(at..=input.len().min(at + 64));
        match self.random.random_range(0..7) {
            0 if at < input.len() => input[at] ^= 1 << self.random.random_range(0..8),
            1 if at < input.len() => input[at] = self.random.random(),
            2 => drop(input.drain(at..end)),
            3 => {
                let piece = input[at..end].to_vec();
                self.repeat(input, at, &piece);
            }
            4 => {
                let token = TOKENS[self.random.random_range(0..TOKENS.len())];
                self.repeat(input, at, token);
            }
            5 => input.truncate(at),
            _ => {
                let other = self.seed();
                let from = self.random.random_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }

    /// Inserts a piece once or, rarely, so often that it fills the input.
    fn repeat(&mut self, input: &mut Vec<u8>, at: usize, piece: &[u8]) {
        let often = self.random.random_bool(0.05);
        let fits = MAX_INPUT / piece.len().max(1);
        let times = if often { MAX_REPEATS.min(fits) } else { 1 };
        input.splice(at..at, piece.repeat(times));
    }

    /// Changes one value somewhere in a document.
    fn change_json(&mut self, value: &mut Value) {
        let stays = self.random.random_bool(0.2);
        match value {
            Value::Array(items) if !stays && !items.is_empty() => {
                let at = self.random.random_range(0..items.len());
                self.change_json(&mut items[at]);
            }
            Value::Object(members) if !stays && !members.is_empty() => {
                let at = self.random.random_range(0..members.len());
                if let Some(member) = members.values_mut().nth(at) {
                    self.change_json(member);
                }
            }
            _ => *value = self.other_value(value),
        }
    }

    fn other_value(&mut self, value: &Value) -> Value {
        match self.random.random_range(0..11) {
            0 => Value::Null,
            1 => true.into(),
            2 => (-1).into(),
            3 => u64::MAX.into(),
            4 => 1e300.into(),
            5 => "".into(),
            // A path far below the previous one.
            6 => {
                let more = "/a".repeat(self.random.random_range(1..MAX_REPEATS));
                format!("{}{more}", value.as_str().unwrap_or_default()).into()
            }
            7 => self.word().into(),
            8 => Value::Array(vec![value.clone(); 3]),
            9 => Value::Object([(self.word(), value.clone())].into_iter().collect()),
            _ => (0..self.random.random_range(1..100))
                .fold(value.clone(), |inner, _| vec![inner].into()),
        }
    }

    fn word(&mut self) -> String {
        let length = self.random.random_range(0..40);
        let letters = std::iter::repeat_with(|| {
            char::from_u32(self.random.next_u32() % 0x1_1000).unwrap_or('\u{fffd}')
        });
        letters.take(length).collect()
    }
}
