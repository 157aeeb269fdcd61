//! A recording of a telephone call that no one has spoken: a short tune, as a WAV file.

use std::f32::consts::TAU;

/// Samples in a second, as telephones have them.
const RATE: u32 = 8000;
/// The length of a note in samples.
const NOTE: u32 = RATE / 4;
/// The frequencies in hertz.
const TUNE: [f32; 32] = [
    440.0, 554.4, 659.3, 554.4, 440.0, 554.4, 659.3, 880.0, 587.3, 740.0, 880.0, 740.0, 587.3,
    740.0, 880.0, 987.8, 659.3, 830.6, 987.8, 830.6, 659.3, 830.6, 987.8, 1108.7, 880.0, 659.3,
    554.4, 659.3, 440.0, 440.0, 440.0, 440.0,
];

/// The length of the recording in seconds.
pub(super) const SECONDS: u64 = 8;

/// A WAV file: PCM, one channel of 16 bits.
pub(super) fn wav() -> Vec<u8> {
    let samples: Vec<u8> = TUNE
        .iter()
        .flat_map(|frequency| (0..NOTE).map(move |at| sample(*frequency, at)))
        .flat_map(i16::to_le_bytes)
        .collect();
    let length = u32::try_from(samples.len()).unwrap_or_default();
    let mut file = Vec::with_capacity(samples.len() + 44);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + length).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16_u32.to_le_bytes());
    // The format of plain samples, and one channel.
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(&(RATE * 2).to_le_bytes());
    // The bytes and the bits of a sample.
    file.extend_from_slice(&2_u16.to_le_bytes());
    file.extend_from_slice(&16_u16.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(&samples);
    file
}

/// A sample of a note, which fades.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "samples are small, and are rounded"
)]
fn sample(frequency: f32, at: u32) -> i16 {
    let (second, share) = (at as f32 / RATE as f32, at as f32 / NOTE as f32);
    ((TAU * frequency * second).sin() * (1.0 - share) * 9000.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_lengths_that_it_names() {
        let file = wav();
        let number =
            |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"));
        assert_eq!((&file[..4], &file[8..16]), (&b"RIFF"[..], &b"WAVEfmt "[..]));
        assert_eq!(number(4) as usize, file.len() - 8);
        assert_eq!(number(40) as usize, file.len() - 44);
        assert_eq!(
            u64::from(number(40) / number(28)),
            SECONDS,
            "bytes by bytes in a second"
        );
    }
}
