//! A parser of Python's pickle form, as far as saved states need it. Nothing is executed: a global is a name, a call is
//! a record of what would have been called.

use std::collections::BTreeMap;

/// A value of a pickle.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list, set or tuple.
    List(Vec<Value>),
    /// A dictionary, in order.
    Map(Vec<(Value, Value)>),
    /// A name such as `torch.FloatStorage`.
    Global(String),
    /// A call that was not made: callee, arguments, and what the instance was filled with.
    Call(Box<Value>, Box<Value>, Box<Value>),
    /// A reference to something kept outside the pickle.
    Persistent(Box<Value>),
    /// Start of a run of values on the stack.
    Mark,
}

impl Value {
    /// The entry of a dictionary under a text.
    #[cfg(test)]
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Map(items) => {
                items.iter().find(|(k, _)| *k == Value::Text(key.to_owned())).map(|(_, v)| v)
            }
            _ => None,
        }
    }

    /// The text.
    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    /// The items of a list.
    pub fn as_list(&self) -> Option<&[Value]> {
        if let Value::List(items) = self { Some(items) } else { None }
    }

    /// The integer, if it is not negative.
    pub fn as_size(&self) -> Option<usize> {
        if let Value::Int(v) = self { usize::try_from(*v).ok() } else { None }
    }
}

/// No pickle of a state holds more values than this.
const MAX_VALUES: usize = 20_000_000;

/// Parses a pickle.
///
/// # Errors
/// Truncation, a stack that does not fit, or an opcode that is not supported, which is named.
pub fn parse(bytes: &[u8]) -> Result<Value, String> {
    let mut machine = Machine { bytes, at: 0, stack: vec![], memo: BTreeMap::new(), made: 0 };
    loop {
        let op = machine.byte()?;
        if op == b'.' {
            return machine.pop();
        }
        machine.step(op)?;
        machine.made += 1;
        if machine.made > MAX_VALUES {
            return Err("the pickle is too long".to_owned());
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    memo: BTreeMap<usize, Value>,
    made: usize,
}

type Done = Result<(), String>;

impl Machine<'_> {
    fn take(&mut self, n: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(n).ok_or("the pickle is cut short")?;
        let out = self.bytes.get(self.at..end).ok_or("the pickle is cut short")?;
        self.at = end;
        Ok(out)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self, n: usize) -> Result<usize, String> {
        let bytes = self.take(n)?;
        let value =
            bytes.iter().rev().try_fold(0usize, |v, b| v.checked_mul(256)?.checked_add(usize::from(*b)));
        value.ok_or_else(|| "a length in the pickle is too large".to_owned())
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let n = rest.iter().position(|b| *b == b'\n').ok_or("the pickle is cut short")?;
        let text = String::from_utf8_lossy(&rest[..n]).into_owned();
        self.at += n + 1;
        Ok(text)
    }

    fn text(&mut self, n: usize) -> Done {
        let text = String::from_utf8_lossy(self.take(n)?).into_owned();
        self.push(Value::Text(text))
    }

    fn blob(&mut self, n: usize) -> Done {
        let bytes = self.take(n)?.to_vec();
        self.push(Value::Bytes(bytes))
    }

    fn push(&mut self, value: Value) -> Done {
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().ok_or_else(|| "the pickle's stack is empty".to_owned())
    }

    /// The values above the last mark, which is removed.
    fn marked(&mut self) -> Result<Vec<Value>, String> {
        let at =
            self.stack.iter().rposition(|v| *v == Value::Mark).ok_or("a mark is missing in the pickle")?;
        let out = self.stack.split_off(at + 1);
        self.stack.pop();
        Ok(out)
    }

    fn step(&mut self, op: u8) -> Done {
        match op {
            0x80 => self.take(1).map(|_| ()),
            0x95 => self.take(8).map(|_| ()),
            b'(' => self.push(Value::Mark),
            b'0' => self.pop().map(|_| ()),
            b'1' => self.marked().map(|_| ()),
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'}' => self.push(Value::Map(vec![])),
            b']' | b')' | 0x8f => self.push(Value::List(vec![])),
            b'K' | b'M' | b'J' | 0x8a | b'G' | b'I' | b'L' | b'F' => self.scalar(op),
            b'X' | 0x8c | 0x8d | b'U' | b'T' | b'C' | b'B' | 0x8e | b'V' | b'S' => self.string(op),
            b't' | b'l' | 0x91 => {
                let items = self.marked()?;
                self.push(Value::List(items))
            }
            0x85..=0x87 => {
                let n = usize::from(op - 0x84);
                let at = self.stack.len().checked_sub(n).ok_or("the pickle's stack is empty")?;
                let items = self.stack.split_off(at);
                self.push(Value::List(items))
            }
            b'a' | b'e' | 0x90 | b's' | b'u' | b'd' => self.collect(op),
            b'q' | b'r' | 0x94 | b'h' | b'j' | b'p' | b'g' => self.remember(op),
            b'c' | 0x93 | b'R' | 0x81 | 0x92 | b'b' | b'Q' => self.object(op),
            other => Err(format!("the pickle uses the opcode 0x{other:02x}, which is not supported")),
        }
    }

    fn scalar(&mut self, op: u8) -> Done {
        let value = match op {
            b'K' => Value::Int(self.number(1)? as i64),
            b'M' => Value::Int(self.number(2)? as i64),
            b'J' => Value::Int(i64::from(self.number(4)? as u32 as i32)),
            0x8a => {
                let n = self.number(1)?;
                let bytes = self.take(n)?;
                if n > 8 {
                    return Err("an integer in the pickle is too large".to_owned());
                }
                let sign = if bytes.last().is_some_and(|b| b & 0x80 != 0) { -1i64 } else { 0 };
                Value::Int(bytes.iter().rev().fold(sign, |v, b| (v << 8) | i64::from(*b)))
            }
            b'G' => {
                let b = self.take(8)?;
                Value::Float(f64::from_be_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
            }
            _ => {
                let line = self.line()?;
                match (op, line.as_str()) {
                    (b'I', "01") => Value::Bool(true),
                    (b'I', "00") => Value::Bool(false),
                    (b'F', text) => {
                        Value::Float(text.parse().map_err(|_| "a number in the pickle is damaged")?)
                    }
                    (_, text) => Value::Int(
                        text.trim_end_matches('L')
                            .parse()
                            .map_err(|_| "a number in the pickle is damaged")?,
                    ),
                }
            }
        };
        self.push(value)
    }

    fn string(&mut self, op: u8) -> Done {
        match op {
            b'V' | b'S' => {
                let line = self.line()?;
                let text = line.trim_matches(|c| c == '\'' || c == '"').to_owned();
                self.push(Value::Text(text))
            }
            0x8c | b'U' => {
                let n = self.number(1)?;
                self.text(n)
            }
            b'X' | b'T' => {
                let n = self.number(4)?;
                self.text(n)
            }
            0x8d => {
                let n = self.number(8)?;
                self.text(n)
            }
            b'C' => {
                let n = self.number(1)?;
                self.blob(n)
            }
            b'B' => {
                let n = self.number(4)?;
                self.blob(n)
            }
            _ => {
                let n = self.number(8)?;
                self.blob(n)
            }
        }
    }

    /// Adds values to the list or dictionary below them.
    fn collect(&mut self, op: u8) -> Done {
        let items = match op {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.marked()?,
        };
        if op == b'd' {
            let map = pairs(items);
            return self.push(Value::Map(map));
        }
        match (op, self.stack.last_mut()) {
            (b'a' | b'e' | 0x90, Some(Value::List(list))) => list.extend(items),
            (b's' | b'u', Some(Value::Map(map))) => map.extend(pairs(items)),
            // An ordered dictionary is a call without arguments that is filled afterwards.
            (b's' | b'u', Some(Value::Call(_, _, state))) => match state.as_mut() {
                Value::Map(map) => map.extend(pairs(items)),
                other => *other = Value::Map(pairs(items)),
            },
            (b'a' | b'e', Some(Value::Call(..))) => {}
            _ => return Err("values are added to what is no list or dictionary in the pickle".to_owned()),
        }
        Ok(())
    }

    fn remember(&mut self, op: u8) -> Done {
        let number = |text: String| text.parse().map_err(|_| "a number in the pickle is damaged".to_owned());
        let slot: usize = match op {
            b'q' | b'h' => self.number(1)?,
            b'r' | b'j' => self.number(4)?,
            0x94 => self.memo.len(),
            _ => number(self.line()?)?,
        };
        if matches!(op, b'h' | b'j' | b'g') {
            let value = self.memo.get(&slot).cloned().ok_or("the pickle refers to what it never kept")?;
            return self.push(value);
        }
        let value = self.stack.last().cloned().ok_or("the pickle's stack is empty")?;
        // Containers are kept as they are now; states refer only to names, texts and storages again.
        self.memo.insert(slot, value);
        Ok(())
    }

    fn object(&mut self, op: u8) -> Done {
        match op {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(format!("{module}.{name}")))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |v: &Value| v.as_text().unwrap_or("?").to_owned();
                let global = format!("{}.{}", text(&module), text(&name));
                self.push(Value::Global(global))
            }
            b'R' | 0x81 => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                self.push(Value::Call(Box::new(callee), Box::new(arguments), Box::new(Value::None)))
            }
            0x92 => {
                let (_keywords, arguments, callee) = (self.pop()?, self.pop()?, self.pop()?);
                self.push(Value::Call(Box::new(callee), Box::new(arguments), Box::new(Value::None)))
            }
            b'b' => {
                let state = self.pop()?;
                if let Some(Value::Call(_, _, filled)) = self.stack.last_mut()
                    && **filled == Value::None
                {
                    **filled = state;
                }
                Ok(())
            }
            _ => {
                let id = self.pop()?;
                self.push(Value::Persistent(Box::new(id)))
            }
        }
    }
}

fn pairs(items: Vec<Value>) -> Vec<(Value, Value)> {
    let mut out = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        out.push((key, value));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values() {
        // pickle.dumps({'a': [1, 2.5, None, True], 'b': (-3,)}, 2)
        let bytes = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01G@\x04\x00\x00\x00\x00\x00\x00N\x88eX\x01\x00\x00\x00bq\x03J\xfd\xff\xff\xff\x85q\x04u.";
        let value = parse(bytes).unwrap();
        let list = value.get("a").unwrap().as_list().unwrap();
        assert_eq!(list, [Value::Int(1), Value::Float(2.5), Value::None, Value::Bool(true)]);
        assert_eq!(value.get("b").unwrap().as_list().unwrap(), [Value::Int(-3)]);
    }

    #[test]
    fn calls_are_recorded_not_made() {
        // cos.system with ('rm',): R
        let value = parse(b"cos\nsystem\n(S'rm'\ntR.").unwrap();
        let Value::Call(callee, ..) = value else { panic!("a call") };
        assert_eq!(*callee, Value::Global("os.system".into()));
    }

    #[test]
    fn damage_is_an_error() {
        for bytes in [
            &b""[..],
            b"\x80",
            b"K",
            b"t.",
            b"h\x07.",
            b"\x80\x02\xff.",
            b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
        ] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
        assert!(parse(b"\x80\x02\xfe.").unwrap_err().contains("0xfe"));
    }
}
