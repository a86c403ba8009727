//! FCS files made here, of every version, type of number and order of bytes, whose values are known.

use crate::anndata::{AnnData, DataError, FieldPath, Values};

/// A file to be: one data set.
#[derive(Clone)]
struct Made {
    version: &'static str,
    separator: u8,
    /// Keywords in order; those about offsets are added.
    keywords: Vec<(String, String)>,
    data: Vec<u8>,
    /// Whether offsets of the data stand in the text alone, as for files beyond 100 MB.
    offsets_in_text: bool,
    /// Keywords in a segment of their own.
    more: Vec<(String, String)>,
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

impl Made {
    /// Channels of `kind`, each with a width in bits and a range, and the bytes of events.
    fn new(version: &'static str, kind: &str, order: &str, channels: &[(u32, &str)], data: Vec<u8>) -> Self {
        let width: u32 = channels.iter().map(|(bits, _)| bits / 8).sum();
        let n = data.len() / width as usize;
        let mut keywords = pairs(&[
            ("$MODE", "L"),
            ("$DATATYPE", kind),
            ("$BYTEORD", order),
            ("$PAR", &channels.len().to_string()),
        ]);
        if version != "FCS2.0" {
            keywords.extend(pairs(&[("$TOT", &n.to_string())]));
        }
        for (at, (bits, range)) in channels.iter().enumerate() {
            let key = |letter: &str| format!("$P{}{letter}", at + 1);
            keywords.extend(pairs(&[
                (&key("B"), &bits.to_string()),
                (&key("R"), range),
                (&key("N"), &format!("FL{}", at + 1)),
                (&key("E"), "0,0"),
            ]));
        }
        Self { version, separator: b'/', keywords, data, offsets_in_text: false, more: vec![] }
    }

    /// Adds keywords, or replaces them.
    fn with(mut self, list: &[(&str, &str)]) -> Self {
        self.keywords.retain(|(key, _)| list.iter().all(|(other, _)| other != key));
        self.keywords.extend(pairs(list));
        self
    }

    fn segment(&self, list: &[(String, String)]) -> Vec<u8> {
        let mut out = vec![self.separator];
        for text in list.iter().flat_map(|(key, value)| [key, value]) {
            for &byte in text.as_bytes() {
                out.extend(if byte == self.separator { vec![byte, byte] } else { vec![byte] });
            }
            out.push(self.separator);
        }
        out
    }

    /// Its bytes; `next` is where the next set begins, if there is one, else 0.
    fn bytes(&self, next: usize) -> Vec<u8> {
        // Offsets are written so wide that the text does not change its length with them.
        let place = |value: usize| format!("{value:>12}");
        let mut list = self.keywords.clone();
        let at = list.len();
        list.extend(pairs(&[
            ("$NEXTDATA", &place(next)),
            ("$BEGINDATA", &place(0)),
            ("$ENDDATA", &place(0)),
        ]));
        list.extend(pairs(&[("$BEGINSTEXT", &place(0)), ("$ENDSTEXT", &place(0))]));
        let text_from = 64;
        let text_to = text_from + self.segment(&list).len() - 1;
        let data_from = text_to + 1 + 5;
        let data_to = data_from + self.data.len() - 1;
        list[at + 1].1 = place(data_from);
        list[at + 2].1 = place(data_to);
        let more = self.segment(&self.more);
        if !self.more.is_empty() {
            list[at + 3].1 = place(data_to + 1);
            list[at + 4].1 = place(data_to + more.len());
        }
        let of_data = if self.offsets_in_text { [0, 0] } else { [data_from, data_to] };
        let mut out = format!("{}    ", self.version).into_bytes();
        for offset in [text_from, text_to, of_data[0], of_data[1], 0, 0] {
            out.extend(format!("{offset:>8}").bytes());
        }
        out.resize(text_from, b' ');
        out.extend(self.segment(&list));
        out.resize(data_from, b'#');
        out.extend(&self.data);
        if !self.more.is_empty() {
            out.extend(more);
        }
        out.extend(b"00000000");
        out
    }
}

fn open(bytes: &[u8]) -> Result<AnnData, DataError> {
    let file = tempfile::Builder::new().suffix(".fcs").tempfile().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    AnnData::open(file.path())
}

fn values(made: &Made) -> Vec<f32> {
    let data = open(&made.bytes(0)).unwrap_or_else(|e| panic!("{e}"));
    data.matrix(&FieldPath::X).unwrap().to_dense().values
}

fn refused(made: &Made, said: &str) {
    let error = open(&made.bytes(0)).unwrap_err().to_string();
    assert!(error.contains(said), "`{said}` is not in: {error}");
}

const LITTLE: &str = "1,2,3,4";
const BIG: &str = "4,3,2,1";

#[test]
fn numbers_of_every_type_and_order() {
    let wanted = [1.5f32, -2.25, 0.0, 1e-30, 3e30, 65536.125];
    for version in ["FCS2.0", "FCS3.0", "FCS3.1", "FCS3.2"] {
        for offsets_in_text in [false, true] {
            let made = |kind, order, bits, data| Made {
                offsets_in_text,
                ..Made::new(version, kind, order, &[(bits, "1024"), (bits, "1024")], data)
            };
            let float = |f: fn(&f32) -> [u8; 4]| wanted.iter().flat_map(f).collect::<Vec<u8>>();
            let double =
                |f: fn(f64) -> [u8; 8]| wanted.iter().flat_map(|v| f(f64::from(*v))).collect::<Vec<u8>>();
            assert_eq!(values(&made("F", LITTLE, 32, float(|v| v.to_le_bytes()))), wanted);
            assert_eq!(values(&made("F", BIG, 32, float(|v| v.to_be_bytes()))), wanted);
            assert_eq!(values(&made("D", LITTLE, 64, double(f64::to_le_bytes))), wanted);
            assert_eq!(values(&made("D", BIG, 64, double(f64::to_be_bytes))), wanted);
        }
    }
}

#[test]
fn integers_of_every_width_under_their_range() {
    // A range of 1024 needs ten bits: what is above does not count. 1000 needs ten as well, 1025 eleven.
    let stored: u64 = 0xabcd_ef12_3456_789a;
    for bytes in 1..=8usize {
        let low = stored & (u64::MAX >> (64 - 8 * bytes));
        let (little, big) = (low.to_le_bytes()[..bytes].to_vec(), low.to_be_bytes()[8 - bytes..].to_vec());
        let full = format!("{}", 1u128 << (8 * bytes));
        let cases = [
            (full.as_str(), u64::MAX),
            ("16", 15),
            ("200", 255),
            ("1024", 1023),
            ("1025", 2047),
            ("1e3", 1023),
            ("0", u64::MAX),
        ];
        for (range, mask) in cases {
            for (order, data) in [(LITTLE, &little), (BIG, &big)] {
                let made = Made::new("FCS3.0", "I", order, &[(8 * bytes as u32, range)], data.clone());
                assert_eq!(values(&made), [(low & mask) as f32], "{bytes} bytes, {order}, range {range}");
            }
        }
    }
    // Channels of different widths lie side by side; the order of two bytes is given by two places.
    let data = [7u8, 1, 2, 255, 255, 255, 9, 3, 4, 0, 0, 1].to_vec();
    let channels = [(8, "256"), (16, "65536"), (24, "16777216")];
    let made = |order| Made::new("FCS2.0", "I", order, &channels, data.clone());
    assert_eq!(values(&made("1,2")), [7.0, 513.0, 16_777_215.0, 9.0, 1027.0, 65536.0]);
    assert_eq!(values(&made("2,1")), [7.0, 258.0, 16_777_215.0, 9.0, 772.0, 1.0]);
}

#[test]
fn channels_of_version_3_2_have_types_of_their_own() {
    let mut data = 300u16.to_le_bytes().to_vec();
    data.extend(2.5f32.to_le_bytes());
    data.extend((-7.5f64).to_le_bytes());
    let made = Made::new("FCS3.2", "I", LITTLE, &[(16, "1024"), (32, "1"), (64, "1")], data);
    let made = made.with(&[("$P2DATATYPE", "F"), ("$P3DATATYPE", "D")]);
    assert_eq!(values(&made), [300.0, 2.5, -7.5]);
}

#[test]
fn separators_in_values_are_doubled() {
    for separator in [b'/', b'\\', b'|', 0x0c, b'*'] {
        let text = |s: &str| s.replace('/', &(separator as char).to_string());
        let mut made = Made::new(
            "FCS3.1",
            "F",
            LITTLE,
            &[(32, "1"), (32, "1")],
            [1f32, 2.0].map(f32::to_le_bytes).concat(),
        );
        made.separator = separator;
        let name = text("a/b");
        let made = made.with(&[("$P1N", &name), ("$P2S", "CD3 µ"), ("$COM", &text("//x/ /"))]);
        let data = open(&made.bytes(0)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(data.var_names(), [name.as_str(), "FL2"]);
        let marker = data.column(&FieldPath::Var("marker".into())).unwrap();
        assert_eq!(marker.values, Values::Strings(vec![String::new(), "CD3 µ".into()]));
    }
}

#[test]
fn keywords_may_stand_in_a_segment_of_their_own() {
    let mut made = Made::new("FCS3.0", "F", LITTLE, &[(32, "1")], 4f32.to_le_bytes().to_vec());
    made.more = pairs(&[("$P1S", "CD19"), ("$P1N", "not this")]);
    let data = open(&made.bytes(0)).unwrap();
    assert_eq!(data.var_names(), ["FL1"]);
    let marker = data.column(&FieldPath::Var("marker".into())).unwrap();
    assert_eq!(marker.values, Values::Strings(vec!["CD19".into()]));
    assert_eq!(values(&made), [4.0]);
}

#[test]
fn data_sets_that_follow_are_modalities() {
    let set = |values: &[f32]| {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Made::new("FCS3.0", "F", LITTLE, &[(32, "1")], data)
    };
    let sets = [set(&[1.0, 2.0]), set(&[3.0]), set(&[4.0, 5.0, 6.0])];
    let mut bytes = Vec::new();
    for (at, set) in sets.iter().enumerate() {
        let next = if at + 1 < sets.len() { set.bytes(0).len() } else { 0 };
        bytes.extend(set.bytes(next));
    }
    let data = open(&bytes).unwrap();
    assert_eq!(data.modality_names(), ["set1", "set2", "set3"]);
    let x = |set: &str| data.matrix(&format!("mod.{set}.X").parse().unwrap()).unwrap().to_dense().values;
    assert_eq!((x("set1"), x("set2"), x("set3")), (vec![1.0, 2.0], vec![3.0], vec![4.0, 5.0, 6.0]));
    // Events of one set are not those of another.
    assert_eq!(data.obs_names(), ["0", "1", "2", "3", "4", "5"]);
    // A last set that points at padding, or at itself, ends the file.
    let whole = sets[0].bytes(sets[0].bytes(0).len() - 8);
    assert!(open(&whole).unwrap().modality_names().is_empty());
}

#[test]
fn what_is_not_supported_is_named() {
    let made = Made::new("FCS3.0", "F", LITTLE, &[(32, "1")], 4f32.to_le_bytes().to_vec());
    refused(&made.clone().with(&[("$MODE", "C")]), "`$MODE` is `C`");
    refused(&made.clone().with(&[("$DATATYPE", "A")]), "`$DATATYPE` is `A`; I, F and D");
    refused(&made.clone().with(&[("$BYTEORD", "3,4,1,2")]), "`$BYTEORD` is `3,4,1,2`");
    refused(&made.clone().with(&[("$BYTEORD", "1,2,4,3")]), "`$BYTEORD`");
    refused(&made.clone().with(&[("$P1B", "64")]), "`$P1B` is 64 bits; numbers of type F have 32");
    refused(&made.clone().with(&[("$DATATYPE", "I"), ("$P1B", "12")]), "`$P1B` is 12 bits");
    refused(&made.clone().with(&[("$TOT", "2")]), "2 events of 4 bytes are announced");
    refused(&made.clone().with(&[("$TOT", "18446744073709551615")]), "are announced");
    refused(&made.clone().with(&[("$PAR", "99999999")]), "`$PAR` announces 99999999 channels");
    refused(&made.with(&[("$PAR", "2")]), "`$P2B` is missing");
    let double = Made::new("FCS3.0", "D", LITTLE, &[(64, "1")], 1e300f64.to_le_bytes().to_vec());
    refused(&double, "beyond the range of 32-bit numbers");
    let whole = Made::new("FCS3.0", "F", BIG, &[(32, "1")], 4f32.to_be_bytes().to_vec()).bytes(0);
    for n in 0..whole.len() - 9 {
        // Cut short anywhere: refused, and no panic.
        assert!(open(&whole[..n]).is_err(), "{n}");
    }
}
