#![expect(clippy::many_single_char_names, reason = "the names of the standard")]

use super::*;
use crate::certificate::Certificate;
use crate::crl::Crl;
use crate::der::Reader;
use crate::hash::Hash;
use curve::{
    CRYPTOPRO_A, CRYPTOPRO_B, CRYPTOPRO_C, TC26_256_A, TC26_512_A, TC26_512_B, TC26_512_C,
};

/// The curve of RFC 7091 §7.1, which no certificate may use.
const EXAMPLE_256: Parameters = Parameters {
    name: "example 1",
    size: 32,
    p: "8000000000000000000000000000000000000000000000000000000000000431",
    a: "7",
    b: "5FBFF498AA938CE739B8E022FBAFEF40563F6E6A3472FC2A514C0CE9DAE23B7E",
    q: "8000000000000000000000000000000150FE8A1892976154C59CFC193ACCF5B3",
    x: "2",
    y: "08E2A8A0E65147D4BD6316030E16D19C85C97F0A9CA267122B96ABBCEA7E8FC8",
    cofactor: 1,
};

/// The curve of GOST R 34.10-2012, appendix A.2, which no certificate may use.
const EXAMPLE_512: Parameters = Parameters {
    name: "example 2",
    size: 64,
    p: "4531ACD1FE0023C7550D267B6B2FEE80922B14B2FFB90F04D4EB7C09B5D2D15D\
        F1D852741AF4704A0458047E80E4546D35B8336FAC224DD81664BBF528BE6373",
    a: "7",
    b: "1CFF0806A31116DA29D8CFA54E57EB748BC5F377E49400FDD788B649ECA1AC43\
        61834013B2AD7322480A89CA58E0CF74BC9E540C2ADD6897FAD0A3084F302ADC",
    q: "4531ACD1FE0023C7550D267B6B2FEE80922B14B2FFB90F04D4EB7C09B5D2D15D\
        A82F2D7ECB1DBAC719905C5EECC423F1D86E25EDBE23C595D644AAF187E6E6DF",
    x: "24D19CC64572EE30F396BF6EBBFD7A6C5213B3B3D7057CC825F91093A68CD762\
        FD60611262CD838DC6B60AA7EEE804E28BC849977FAC33B4B530F1B120248A9A",
    y: "2BB312A43BD2CE6E0D020613C857ACDDCFBF061E91E5F2C3F32447C259F39B2C\
        83AB156D77F1496BF7EB3351E1EE4E43DC1A18B91B24640B6DBB92CB1ADD371E",
    cofactor: 1,
};

const CURVES: [&Parameters; 7] = [
    &TC26_256_A,
    &CRYPTOPRO_A,
    &CRYPTOPRO_B,
    &CRYPTOPRO_C,
    &TC26_512_A,
    &TC26_512_B,
    &TC26_512_C,
];

fn hex(text: &str) -> Vec<u8> {
    let text: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = text
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

fn reversed(text: &str) -> Vec<u8> {
    let mut bytes = hex(text);
    bytes.reverse();
    bytes
}

/// The example of RFC 7091 §7: a curve of 256 bits, all numbers as printed there.
#[test]
fn the_example_of_rfc_7091_verifies() {
    let curve = &EXAMPLE_256;
    let x = reversed("7F2B49E270DB6D90D8595BEC458B50C58585BA1D4E9B788F6689DBD8E56FD80B");
    let y = reversed("26F1B489D6701DD185C8413A977B3CBBAF64D1C593D26627DFFB101A87FF77DA");
    let digest = reversed("2DFBC1B372D89A1188C09C52E0EEC61FCE52032AB1022E8E67ECE6672B043EE5");
    let r = "41AA28D2F1AB148280CD9ED56FEDA41974053554A42767B83AD043FD39DC0493";
    let s = "01456C64BA4642A1653C235A98A60249BCD6D3F746B631DF928014F6C5BF9C40";
    let secret = hex("7A929ADE789BB9BE10ED359DD39A72C11B60961F49397EEE1D19CE9891EC3B28");
    let k = hex("77105C9B20BCD3122823C8CF6FCC7B956DE33814E95B7FE64FED924594DCEAB3");
    assert_eq!(public_key(curve, &secret), Some((x.clone(), y.clone())));
    let signature = ByteOrder::BigEndianSr.join(&hex(r), &hex(s));
    let made = sign(curve, &secret, &k, &digest, ByteOrder::BigEndianSr);
    assert_eq!(made, Some(signature.clone()));
    assert!(verify(
        curve,
        (&x, &y),
        &digest,
        ByteOrder::BigEndianSr,
        &signature
    ));
    let mut turned = signature.clone();
    turned.reverse();
    assert!(verify(
        curve,
        (&x, &y),
        &digest,
        ByteOrder::LittleEndianRs,
        &turned
    ));
    assert!(!verify(
        curve,
        (&x, &y),
        &digest,
        ByteOrder::BigEndianSr,
        &turned
    ));
    let mut other = digest.clone();
    other[0] ^= 1;
    assert!(!verify(
        curve,
        (&x, &y),
        &other,
        ByteOrder::BigEndianSr,
        &signature
    ));
}

/// The 512-bit example of GOST R 34.10-2012, appendix A.2.
#[test]
fn the_512_bit_example_of_the_standard_verifies() {
    let curve = &EXAMPLE_512;
    let secret = hex(
        "0BA6048AADAE241BA40936D47756D7C93091A0E8514669700EE7508E508B1020\
         72E8123B2200A0563322DAD2827E2714A2636B7BFD18AADFC62967821FA18DD4",
    );
    let k = hex(
        "0359E7F4B1410FEACC570456C6801496946312120B39D019D455986E364F3658\
         86748ED7A44B3E794434006011842286212273A6D14CF70EA3AF71BB1AE679F1",
    );
    let digest = reversed(
        "3754F3CFACC9E0615C4F4A7C4D8DAB531B09B6F9C170C533A71D147035B0C591\
         7184EE536593F4414339976C647C5D5A407ADEDB1D560C4FC6777D2972075B8C",
    );
    let x = reversed(
        "115DC5BC96760C7B48598D8AB9E740D4C4A85A65BE33C1815B5C320C854621DD\
         5A515856D13314AF69BC5B924C8B4DDFF75C45415C1D9DD9DD33612CD530EFE1",
    );
    let y = reversed(
        "37C7C90CD40B0F5621DC3AC1B751CFA0E2634FA0503B3D52639F5D7FB72AFD61\
         EA199441D943FFE7F0C70A2759A3CDB84C114E1F9339FDF27F35ECA93677BEEC",
    );
    let signature = ByteOrder::BigEndianSr.join(
        &hex(
            "2F86FA60A081091A23DD795E1E3C689EE512A3C82EE0DCC2643C78EEA8FCACD3\
             5492558486B20F1C9EC197C90699850260C93BCBCD9C5C3317E19344E173AE36",
        ),
        &hex(
            "1081B394696FFE8E6585E7A9362D26B6325F56778AADBC081C0BFBE933D52FF5\
             823CE288E8C4F362526080DF7F70CE406A6EEB1F56919CB92A9853BDE73E5B4A",
        ),
    );
    assert_eq!(public_key(curve, &secret), Some((x.clone(), y.clone())));
    let made = sign(curve, &secret, &k, &digest, ByteOrder::BigEndianSr);
    assert_eq!(made, Some(signature.clone()));
    assert!(verify(
        curve,
        (&x, &y),
        &digest,
        ByteOrder::BigEndianSr,
        &signature
    ));
}

/// The test examples of RFC 9215: a certificate and a revocation list for each of three keys, two of them on the
/// example curves of the standards.
#[test]
fn the_certificates_and_lists_of_rfc_9215_verify() {
    for (certificate, list, curve) in [
        (
            include_str!("rfc9215/256-test.crt.pem"),
            include_str!("rfc9215/256-test.crl.pem"),
            &EXAMPLE_256,
        ),
        (
            include_str!("rfc9215/256-a.crt.pem"),
            include_str!("rfc9215/256-a.crl.pem"),
            &TC26_256_A,
        ),
        (
            include_str!("rfc9215/512-test.crt.pem"),
            include_str!("rfc9215/512-test.crl.pem"),
            &EXAMPLE_512,
        ),
    ] {
        let certificate = Certificate::read(certificate.as_bytes()).unwrap();
        let list = Crl::read(list.as_bytes()).unwrap();
        let key = Reader::new(&certificate.key_bits)
            .octet_string("the key")
            .unwrap();
        let key = key.split_at(curve.size);
        let hash = if curve.size == 32 {
            Hash::Streebog256
        } else {
            Hash::Streebog512
        };
        for (tbs, signature) in [
            (certificate.tbs(), &certificate.signature),
            (list.tbs(), &list.signature),
        ] {
            let right = |bytes: &[u8]| {
                verify(
                    curve,
                    key,
                    &hash.digest(bytes),
                    ByteOrder::BigEndianSr,
                    signature,
                )
            };
            assert!(right(tbs), "{}", curve.name);
            let mut altered = tbs.to_vec();
            altered[30] ^= 1;
            assert!(!right(&altered), "{}", curve.name);
        }
    }
}

#[test]
fn certificates_on_the_curves_of_the_examples_have_no_key() {
    for (text, known) in [
        (include_str!("rfc9215/256-test.crt.pem"), false),
        (include_str!("rfc9215/256-a.crt.pem"), true),
        (include_str!("rfc9215/512-test.crt.pem"), false),
    ] {
        let certificate = Certificate::read(text.as_bytes()).unwrap();
        assert_eq!(certificate.public_key().is_ok(), known);
    }
}

#[test]
fn the_base_point_of_every_curve_has_its_order() {
    for curve in CURVES {
        let (p, q): (Uint<8>, Uint<8>) = (number(curve.p), number(curve.q));
        let (x, y) = public_key(curve, &[1]).unwrap();
        assert!(is_public_key(curve, &x, &y), "{}", curve.name);
        // q·P is infinity, and (q + 1)·P is P.
        let bytes = |n: Uint<8>| n.to_be_bytes().as_ref()[64 - curve.size..].to_vec();
        assert_eq!(public_key(curve, &bytes(q)), None, "{}", curve.name);
        let next = public_key(curve, &bytes(q.wrapping_add(&Uint::ONE)));
        assert_eq!(next, Some((x, y)), "{}", curve.name);
        assert!(p.bit_width_vartime() >= u32::try_from(curve.size).unwrap() * 8);
    }
}

#[test]
fn signatures_verify_on_every_curve_and_altered_ones_do_not() {
    for (curve, order) in CURVES.iter().zip(
        [ByteOrder::BigEndianSr, ByteOrder::LittleEndianRs]
            .iter()
            .cycle(),
    ) {
        let hash = if curve.size == 32 {
            Hash::Streebog256
        } else {
            Hash::Streebog512
        };
        let digest = hash.digest(curve.name.as_bytes());
        let secret = Hash::Sha256.digest(b"secret");
        let (x, y) = public_key(curve, &secret).unwrap();
        let k = Hash::Sha256.digest(b"once");
        let signature = sign(curve, &secret, &k, &digest, *order).unwrap();
        assert!(
            verify(curve, (&x, &y), &digest, *order, &signature),
            "{}",
            curve.name
        );
        for at in 0..signature.len() {
            let mut altered = signature.clone();
            altered[at] ^= 0x10;
            assert!(
                !verify(curve, (&x, &y), &digest, *order, &altered),
                "{} {at}",
                curve.name
            );
        }
        let mut off = x.clone();
        off[0] ^= 1;
        assert!(!is_public_key(curve, &off, &y), "{}", curve.name);
        assert!(!verify(curve, (&off, &y), &digest, *order, &signature));
        for broken in [
            vec![0; signature.len()],
            vec![0xff; signature.len()],
            vec![],
            vec![1; 5],
        ] {
            assert!(
                !verify(curve, (&x, &y), &digest, *order, &broken),
                "{}",
                curve.name
            );
        }
    }
}

#[test]
fn points_of_small_order_are_no_public_keys() {
    // tc26-256-A has the cofactor 4. Its point of order 2 has y = 0: its x is a root of
    // x³ + ax + b, found from the Edwards form of RFC 7836 §A.2.1 as s + t with
    // s = (e − d)/4, t = (e + d)/6.
    let curve = &TC26_256_A;
    let ready = Curve::<4>::new(curve).unwrap();
    let d = ready.element(&number(
        "0605F6B7C183FA81578BC39CFAD518132B9DF62897009AF7E522C32D6DC7BFFB",
    ));
    let one = FixedMontyForm::one(&ready.field);
    let six = ready.element(&Uint::from_u32(6)).invert_vartime().unwrap();
    let t = one.add(&d).mul(&six);
    let root = [t, t.neg()]
        .into_iter()
        .chain([t.double(), t.double().neg()]);
    let zero = |x: &Field<4>| {
        x.square().add(&ready.a).mul(x).add(&ready.b) == FixedMontyForm::zero(&ready.field)
    };
    let x = root
        .into_iter()
        .find(zero)
        .expect("the cubic has a root in the field");
    let x = x.retrieve().to_le_bytes();
    assert!(!is_public_key(curve, x.as_ref(), &[0; 32]));
}

#[test]
fn values_outside_of_the_order_are_refused() {
    // On this curve s + q still fits into the value, and would verify if it were reduced.
    let curve = &TC26_256_A;
    let digest = Hash::Streebog256.digest(b"message");
    let secret = Hash::Sha256.digest(b"secret");
    let (x, y) = public_key(curve, &secret).unwrap();
    let order = ByteOrder::BigEndianSr;
    let signature = sign(curve, &secret, &[7], &digest, order).unwrap();
    let (r, s) = order.split(&signature);
    let q: Uint<4> = number(curve.q);
    let plus_q = |n: &[u8]| {
        Uint::from_be_slice(n)
            .wrapping_add(&q)
            .to_be_bytes()
            .as_ref()
            .to_vec()
    };
    let zero = vec![0; 32];
    let right = |r: &[u8], s: &[u8]| verify(curve, (&x, &y), &digest, order, &order.join(r, s));
    assert!(right(&r, &s));
    for (r, s) in [
        (&r, &plus_q(&s)),
        (&plus_q(&r), &s),
        (&zero, &s),
        (&r, &zero),
    ] {
        assert!(!right(r, s));
    }
}
