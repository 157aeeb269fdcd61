use super::*;

const LIMITS: Limits = Limits {
    size: 1000,
    depth: 4,
    elements: 10,
    members: 4,
};

fn checked(bytes: &[u8]) -> Result<()> {
    check(bytes, &LIMITS, "the input")
}

#[test]
fn definite_and_indefinite_lengths_give_the_same_value() {
    let definite = [0x30, 0x03, 0x02, 0x01, 0x05];
    let indefinite = [0x30, 0x80, 0x02, 0x01, 0x05, 0x00, 0x00];
    for bytes in [definite.as_slice(), indefinite.as_slice()] {
        checked(bytes).unwrap();
        let mut inner = Reader::new(bytes).sequence("x").unwrap();
        assert_eq!(inner.integer("n").unwrap(), [5]);
        inner.end("x").unwrap();
    }
}

#[test]
fn octet_strings_in_segments_are_joined() {
    let cut = [
        0x24, 0x80, 0x04, 0x02, b'a', b'b', 0x24, 0x03, 0x04, 0x01, b'c', 0x00, 0x00,
    ];
    checked(&cut).unwrap();
    assert_eq!(&*Reader::new(&cut).octet_string("x").unwrap(), b"abc");
    let foreign = [0x24, 0x03, 0x02, 0x01, 0x05];
    assert!(Reader::new(&foreign).octet_string("x").is_err());
}

#[test]
fn trailing_bytes_are_refused() {
    assert_eq!(
        checked(&[0x05, 0x00, 0x00]),
        Err(ReadError::Trailing {
            what: "the input",
            count: 1
        })
    );
    assert!(checked(&[0x30, 0x80, 0x00, 0x00, 0x30, 0x00]).is_err());
}

#[test]
fn truncated_input_is_refused_at_every_length() {
    let whole = [
        0x30, 0x80, 0x24, 0x80, 0x04, 0x01, 0x61, 0, 0, 0x30, 0x00, 0, 0,
    ];
    checked(&whole).unwrap();
    for length in 0..whole.len() {
        assert!(checked(&whole[..length]).is_err(), "{length}");
    }
}

#[test]
fn limits_of_size_depth_and_count_hold() {
    assert_eq!(
        checked(&write::octets(&[0; 1000])),
        Err(ReadError::TooLarge { limit: 1000 })
    );
    let mut nested = write::null();
    for _ in 0..4 {
        nested = write::element(tag::SEQUENCE, &nested);
    }
    checked(&nested).unwrap();
    nested = write::element(tag::SEQUENCE, &nested);
    assert_eq!(checked(&nested), Err(ReadError::TooDeep { limit: 4 }));
    checked(&write::element(tag::SEQUENCE, &write::null().repeat(9))).unwrap();
    assert_eq!(
        checked(&write::element(tag::SEQUENCE, &write::null().repeat(10))),
        Err(ReadError::TooMany {
            what: "elements",
            limit: 10
        })
    );
}

#[test]
fn deep_indefinite_nesting_is_refused() {
    let deep = [0x30, 0x80].repeat(100_000);
    let limits = Limits::SIGNATURE;
    assert!(matches!(
        check(&deep, &limits, "x"),
        Err(ReadError::TooDeep { .. })
    ));
    assert!(Reader::new(&deep).any().is_err());
}

#[test]
fn lengths_beyond_the_input_are_refused() {
    for bytes in [
        &[0x04, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00][..],
        &[0x04, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        &[0x04, 0x80, 0x00, 0x00],
        &[0x30, 0x03, 0x04, 0x05, 0x61],
        &[0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00],
    ] {
        assert!(checked(bytes).is_err(), "{bytes:02x?}");
    }
}

#[test]
fn long_forms_become_short_ones() {
    let ber = [
        0x30, 0x80, 0x24, 0x80, 0x04, 0x01, 0x61, 0x04, 0x01, 0x62, 0, 0, 0x02, 0x81, 0x01, 0x07,
        0, 0,
    ];
    let element = Reader::new(&ber).any().unwrap();
    assert_eq!(
        definite(&element).unwrap(),
        [0x30, 0x07, 0x04, 0x02, 0x61, 0x62, 0x02, 0x01, 0x07]
    );
}

#[test]
fn numbers_are_compared_without_leading_zeros() {
    let read = |bytes: &[u8]| Reader::new(bytes).integer("n").map(<[u8]>::to_vec);
    assert_eq!(read(&[2, 2, 0, 0x80]).unwrap(), [0x80]);
    assert_eq!(read(&[2, 1, 0]).unwrap(), [0_u8; 0]);
    assert!(read(&[2, 0]).is_err());
    assert_eq!(write::integer(&[0x80]), [2, 2, 0, 0x80]);
    assert_eq!(write::integer(&[]), [2, 1, 0]);
}
