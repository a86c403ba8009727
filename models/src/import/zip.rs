//! The entries of a zip archive that are stored as they are, which is how torch saves.

/// One entry: its name, and where its bytes lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Name with folders.
    pub name: String,
    /// Its bytes.
    pub bytes: &'a [u8],
}

const END: u32 = 0x0605_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const LOCAL: u32 = 0x0403_4b50;

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    let b = bytes.get(at..at.checked_add(2)?)?;
    Some(usize::from(u16::from_le_bytes([b[0], b[1]])))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let b = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn size_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, at)?).ok()
}

/// Every entry of the archive.
///
/// # Errors
/// A damaged directory, or a compressed entry.
pub fn entries(bytes: &[u8]) -> Result<Vec<Entry<'_>>, String> {
    let damaged = || "its zip directory is damaged".to_owned();
    let first = bytes.len().saturating_sub(22 + 65_536);
    let end = (first..bytes.len().saturating_sub(21))
        .rev()
        .find(|&at| u32_at(bytes, at) == Some(END))
        .ok_or_else(damaged)?;
    let n = u16_at(bytes, end + 10).ok_or_else(damaged)?;
    let mut at = size_at(bytes, end + 16).ok_or_else(damaged)?;
    let mut out = Vec::new();
    for _ in 0..n {
        let (entry, next) = central(bytes, at).ok_or_else(damaged)?;
        at = next;
        out.push(entry?);
    }
    Ok(out)
}

/// The entry that the directory lists at `at`, and where the next one is listed.
fn central(bytes: &[u8], at: usize) -> Option<(Result<Entry<'_>, String>, usize)> {
    if u32_at(bytes, at)? != CENTRAL {
        return None;
    }
    let method = u16_at(bytes, at + 10)?;
    let size = size_at(bytes, at + 20)?;
    let (n_name, n_extra, n_comment) =
        (u16_at(bytes, at + 28)?, u16_at(bytes, at + 30)?, u16_at(bytes, at + 32)?);
    let local = size_at(bytes, at + 42)?;
    let name = String::from_utf8_lossy(bytes.get(at + 46..at + 46 + n_name)?).into_owned();
    let next = at + 46 + n_name + n_extra + n_comment;
    if method != 0 {
        return Some((Err(format!("its entry `{name}` is compressed, which torch does not do")), next));
    }
    if u32_at(bytes, local)? != LOCAL {
        return None;
    }
    let start = local.checked_add(30 + u16_at(bytes, local + 26)? + u16_at(bytes, local + 28)?)?;
    let data = bytes.get(start..start.checked_add(size)?)?;
    Some((Ok(Entry { name, bytes: data }), next))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A minimal archive with stored entries.
    pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let (mut out, mut directory) = (vec![], vec![]);
        for (name, data) in files {
            let at = out.len() as u32;
            let size = (data.len() as u32).to_le_bytes();
            let lengths = [(name.len() as u16).to_le_bytes(), [0, 0]].concat();
            let head = [&[20u8, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &[0; 4], &size, &size, &lengths].concat();
            out.extend([&LOCAL.to_le_bytes()[..], &head, name.as_bytes(), data].concat());
            directory.extend([&CENTRAL.to_le_bytes()[..], &[20, 0], &head, &[0; 10]].concat());
            directory.extend([&at.to_le_bytes()[..], name.as_bytes()].concat());
        }
        let start = (out.len() as u32).to_le_bytes();
        let n = (files.len() as u16).to_le_bytes();
        let size = (directory.len() as u32).to_le_bytes();
        out.extend(&directory);
        out.extend([&END.to_le_bytes()[..], &[0; 4], &n, &n, &size, &start, &[0, 0]].concat());
        out
    }

    #[test]
    fn stored_entries_are_found() {
        let bytes = archive(&[("a/data.pkl", b"xyz"), ("a/data/0", b"1234")]);
        let found = entries(&bytes).unwrap();
        assert_eq!(found[0], Entry { name: "a/data.pkl".into(), bytes: b"xyz" });
        assert_eq!(found[1].bytes, b"1234");
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = archive(&[("a", b"xyz")]);
        for cut in 0..bytes.len() {
            assert!(entries(&bytes[..cut]).is_err(), "{cut}");
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0xff;
            let _ = entries(&bad);
        }
    }
}
