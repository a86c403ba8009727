//! Messages of the language server protocol on a byte stream: a header with the length, then JSON.

use serde_json::Value;
use std::io::{BufRead, Error, ErrorKind, Read, Result, Write};

/// Longer messages are refused: no program is that long.
const LONGEST: u64 = 64 << 20;

/// The next message; none at the end of the stream. A text that is no JSON is `Ok(Some(Err(…)))`: the stream goes on.
pub fn read(input: &mut impl BufRead) -> Result<Option<std::result::Result<Value, String>>> {
    let Some(length) = header(input)? else { return Ok(None) };
    if length > LONGEST {
        return Err(Error::new(ErrorKind::InvalidData, format!("a message of {length} bytes")));
    }
    let mut body = vec![];
    let got = input.take(length).read_to_end(&mut body)?;
    if got as u64 != length {
        return Err(Error::new(ErrorKind::UnexpectedEof, "the stream ends inside a message"));
    }
    Ok(Some(serde_json::from_slice(&body).map_err(|e| e.to_string())))
}

/// `Content-Length` of the next message.
fn header(input: &mut impl BufRead) -> Result<Option<u64>> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if input.take(1024).read_line(&mut line)? == 0 {
            return match length {
                None => Ok(None),
                Some(_) => Err(Error::new(ErrorKind::UnexpectedEof, "the stream ends inside a header")),
            };
        }
        match line.trim_end().split_once(':') {
            None if line.trim().is_empty() && length.is_some() => return Ok(length),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                let number = value.trim().parse();
                length =
                    Some(number.map_err(|_| Error::new(ErrorKind::InvalidData, "a length is no number"))?);
            }
            _ => {}
        }
    }
}

/// Sends a message.
pub fn write(output: &mut impl Write, message: &Value) -> Result<()> {
    let body = message.to_string();
    write!(output, "Content-Length: {}\r\n\r\n{body}", body.len())?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn messages_round_trip() {
        let mut bytes = vec![];
        for message in [json!({"a": "é"}), json!([1, 2])] {
            write(&mut bytes, &message).unwrap();
        }
        bytes.extend(b"content-length: 3\r\nContent-Type: x\r\n\r\n{a}");
        let mut input = &bytes[..];
        assert_eq!(read(&mut input).unwrap(), Some(Ok(json!({"a": "é"}))));
        assert_eq!(read(&mut input).unwrap(), Some(Ok(json!([1, 2]))));
        assert!(read(&mut input).unwrap().unwrap().is_err());
        assert_eq!(read(&mut input).unwrap(), None);
    }

    #[test]
    fn broken_streams_are_errors() {
        for bytes in [
            &b"Content-Length: 9\r\n\r\n{}"[..],
            b"Content-Length: x\r\n\r\n{}",
            b"Content-Length: 99999999999\r\n\r\n",
            b"Content-Length: 2\r\n",
        ] {
            assert!(read(&mut &bytes[..]).is_err(), "{bytes:?}");
        }
    }
}
