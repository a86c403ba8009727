//! What `torch.save` writes: a zip archive with `data.pkl` and one file for each storage.

use super::pickle::{self, Value};
use super::tensor::{Kind, State, Tensor};
use super::zip::{self, Entry};

/// Keys under which a saved model keeps its state.
const STATE_KEYS: [&str; 2] = ["model_state_dict", "state_dict"];

/// Reads a saved state, or a saved model that holds one.
///
/// # Errors
/// What is damaged, or not supported.
pub fn read(bytes: &[u8]) -> Result<State, String> {
    let entries = zip::entries(bytes)?;
    let pickle = entries.iter().find(|e| e.name.ends_with("data.pkl")).ok_or("it holds no `data.pkl`")?;
    if let Some(order) = entries.iter().find(|e| e.name.ends_with("/byteorder"))
        && order.bytes != b"little"
    {
        return Err("its numbers are big-endian, which is not supported".to_owned());
    }
    let root = pickle.name.trim_end_matches("data.pkl");
    let value = pickle::parse(pickle.bytes)?;
    let top = dictionary(&value).ok_or("its pickle is not a dictionary of tensors")?;
    let inner = STATE_KEYS.iter().find_map(|key| find(top, key)).and_then(dictionary);
    let mut state = State { var_names: find(top, "var_names").and_then(texts), ..State::default() };
    for (key, value) in inner.unwrap_or(top) {
        let Some(name) = key.as_text() else { continue };
        match value {
            Value::Call(..) => {
                let tensor = tensor(value, root, &entries).map_err(|e| format!("`{name}`: {e}"))?;
                state.tensors.insert(name.to_owned(), tensor);
            }
            // Metadata beside the tensors; scvi-tools keeps Pyro's parameter store among them, as a dictionary.
            _ if inner.is_none() => {}
            Value::Map(_) => {}
            other => return Err(format!("`{name}` is not a tensor but {}", describe(other))),
        }
    }
    if state.tensors.is_empty() {
        return Err("it holds no tensors".to_owned());
    }
    Ok(state)
}

/// The items of a dictionary, plain or ordered.
fn dictionary(value: &Value) -> Option<&[(Value, Value)]> {
    match value {
        Value::Map(items) => Some(items),
        Value::Call(callee, _, state) if **callee == Value::Global("collections.OrderedDict".into()) => {
            match state.as_ref() {
                Value::Map(items) => Some(items),
                _ => Some(&[]),
            }
        }
        _ => None,
    }
}

fn find<'v>(items: &'v [(Value, Value)], key: &str) -> Option<&'v Value> {
    items.iter().find(|(k, _)| k.as_text() == Some(key)).map(|(_, v)| v)
}

/// A list of texts, or a numpy array of them.
fn texts(value: &Value) -> Option<Vec<String>> {
    let items = match value {
        Value::List(items) => items,
        Value::Call(_, _, state) => state.as_list()?.iter().rev().find_map(Value::as_list)?,
        _ => return None,
    };
    items.iter().map(|v| v.as_text().map(str::to_owned)).collect()
}

fn describe(value: &Value) -> String {
    match value {
        Value::Global(name) => format!("`{name}`"),
        Value::Call(callee, ..) => format!("a call of {}", describe(callee)),
        Value::Map(_) => "a dictionary".to_owned(),
        other => format!("{other:?}").chars().take(40).collect(),
    }
}

/// `_rebuild_tensor_v2(storage, offset, size, stride, …)`, possibly inside `_rebuild_parameter(tensor, …)`.
fn tensor(value: &Value, root: &str, entries: &[Entry<'_>]) -> Result<Tensor, String> {
    let Value::Call(callee, arguments, _) = value else {
        return Err(format!("a tensor is expected, found {}", describe(value)));
    };
    let Value::Global(function) = callee.as_ref() else {
        return Err(format!("{} is not supported", describe(callee)));
    };
    let arguments = arguments.as_list().unwrap_or_default();
    match function.as_str() {
        "torch._utils._rebuild_parameter" => {
            tensor(arguments.first().ok_or("it has no tensor")?, root, entries)
        }
        "torch._utils._rebuild_tensor_v2" => rebuild(arguments, root, entries),
        other => Err(format!("`{other}` is not supported")),
    }
}

fn rebuild(arguments: &[Value], root: &str, entries: &[Entry<'_>]) -> Result<Tensor, String> {
    let [storage, offset, size, stride, ..] = arguments else {
        return Err("its description is incomplete".to_owned());
    };
    let (kind, bytes) = stored(storage, root, entries)?;
    let sizes = |v: &Value| -> Option<Vec<usize>> { v.as_list()?.iter().map(Value::as_size).collect() };
    let (Some(offset), Some(shape), Some(strides)) = (offset.as_size(), sizes(size), sizes(stride)) else {
        return Err("its sizes are damaged".to_owned());
    };
    let n = shape.iter().try_fold(1usize, |n, s| n.checked_mul(*s));
    let available = bytes.len() / kind.size();
    if n.is_none_or(|n| n > available) || strides.len() != shape.len() {
        return Err("its sizes do not fit its storage".to_owned());
    }
    let mut values = Vec::with_capacity(n.unwrap_or(0));
    let mut index = vec![0usize; shape.len()];
    for _ in 0..n.unwrap_or(0) {
        let mut at = offset;
        for (i, s) in index.iter().zip(&strides) {
            at = i.checked_mul(*s).and_then(|v| at.checked_add(v)).ok_or("its strides are damaged")?;
        }
        let start = at.checked_mul(kind.size()).ok_or("its strides are damaged")?;
        let element = bytes.get(start..start + kind.size()).ok_or("it reaches beyond its storage")?;
        values.extend(kind.read(element));
        for d in (0..shape.len()).rev() {
            index[d] += 1;
            if index[d] < shape[d] {
                break;
            }
            index[d] = 0;
        }
    }
    Ok(Tensor { shape, values })
}

/// `('storage', torch.FloatStorage, key, device, n)`: element type and bytes.
fn stored<'a>(storage: &Value, root: &str, entries: &[Entry<'a>]) -> Result<(Kind, &'a [u8]), String> {
    let Value::Persistent(id) = storage else {
        return Err("its storage is not in the file".to_owned());
    };
    let Some([_, Value::Global(class), Value::Text(key), ..]) = id.as_list() else {
        return Err("the reference to its storage is damaged".to_owned());
    };
    let kind = match class.as_str() {
        "torch.FloatStorage" => Kind::F32,
        "torch.DoubleStorage" => Kind::F64,
        "torch.LongStorage" => Kind::I64,
        "torch.IntStorage" => Kind::I32,
        "torch.BoolStorage" | "torch.ByteStorage" => Kind::U8,
        other => return Err(format!("the element type `{other}` is not supported")),
    };
    let name = format!("{root}data/{key}");
    let entry = entries.iter().find(|e| e.name == name).ok_or_else(|| format!("`{name}` is missing"))?;
    Ok((kind, entry.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::zip::tests::archive;

    /// `OrderedDict([('w', tensor of shape 2×2 transposed)])` as torch pickles it.
    fn state() -> Vec<u8> {
        let mut p = b"\x80\x02ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00w".to_vec();
        p.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n");
        p.extend(b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQK\x00K\x02K\x02\x86K\x01K\x02\x86\x89ccollections\nOrderedDict\n)RtRu.");
        p
    }

    #[test]
    fn strided_tensors_are_read() {
        let numbers: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let bytes = archive(&[("m/data.pkl", &state()), ("m/data/0", &numbers)]);
        let read = read(&bytes).unwrap();
        assert_eq!(read.tensors["w"], Tensor { shape: vec![2, 2], values: vec![1.0, 3.0, 2.0, 4.0] });
        let short = archive(&[("m/data.pkl", &state()), ("m/data/0", &numbers[..8])]);
        assert!(super::read(&short).unwrap_err().contains("`w`"));
    }

    #[test]
    fn a_dictionary_among_the_tensors_is_passed_over() {
        // {'model_state_dict': {'pyro_param_store': {}, 'w': 3}}
        let key = |k: &str| [b"X".as_slice(), &(k.len() as u32).to_le_bytes(), k.as_bytes()].concat();
        let pickle = |value: &[u8]| {
            let parts: [&[u8]; 7] = [
                b"\x80\x02}",
                &key("model_state_dict"),
                b"}(",
                &key("pyro_param_store"),
                b"}",
                &key("w"),
                value,
            ];
            let mut p = parts.concat();
            p.extend(b"us.");
            p
        };
        let error = read(&archive(&[("m/data.pkl", &pickle(b"K\x03"))])).unwrap_err();
        assert!(error.contains("`w` is not a tensor"), "{error}");
        let error = read(&archive(&[("m/data.pkl", &pickle(b"}"))])).unwrap_err();
        assert!(error.contains("no tensors"), "{error}");
    }

    #[test]
    fn foreign_calls_are_named() {
        let pickle = b"\x80\x02}(X\x01\x00\x00\x00wcos\nsystem\n(X\x02\x00\x00\x00rmtRu.";
        let error = read(&archive(&[("m/data.pkl", pickle)])).unwrap_err();
        assert!(error.contains("os.system"), "{error}");
    }
}
