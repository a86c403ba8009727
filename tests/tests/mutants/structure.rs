//! HDF5 files that are sound as HDF5 and wrong as data: attributes, lengths, indices, links, sizes, depth.

use super::mutate::Numbers;
use hdf5::types::VarLenUnicode;
use hdf5::{Dataset, File, Group, H5Type, Location};
use std::path::Path;

/// Spoils the HDF5 file at `path` in one to three ways; nothing where HDF5 refuses to.
pub fn spoil(path: &Path, numbers: &mut Numbers) -> hdf5::Result<()> {
    let file = File::open_rw(path)?;
    for _ in 0..1 + numbers.below(3) {
        let _ = once(&file, numbers);
    }
    file.close()
}

fn once(file: &File, numbers: &mut Numbers) -> hdf5::Result<()> {
    let (group, name) = somewhere(file, numbers)?;
    match numbers.below(12) {
        0..=2 => match group.group(&name) {
            Ok(inner) => edit_attribute(&inner, numbers),
            Err(_) => edit_attribute(&*group.dataset(&name)?, numbers),
        },
        3 | 4 => replace(&group, &name, numbers),
        5 | 6 => overwrite(&group.dataset(&name)?, numbers),
        7 => link(file, &group, &name, numbers),
        8 => absurd(&group, &name, numbers),
        9 => deep(&group, &name, numbers),
        10 => group.unlink(&name),
        _ => {
            let (other, to) = somewhere(file, numbers)?;
            group.relink(&name, &format!("spare{}", numbers.below(9)))?;
            other.relink(&to, &name)
        }
    }
}

/// A group and the name of a member of it, the root's own members now and then.
fn somewhere(file: &File, numbers: &mut Numbers) -> hdf5::Result<(Group, String)> {
    let mut group = file.as_group()?;
    loop {
        let names = group.member_names()?;
        if names.is_empty() {
            return Err("there is nothing in it".into());
        }
        let name = names[numbers.below(names.len())].clone();
        match group.group(&name) {
            Ok(inner) if numbers.below(5) > 0 && !inner.member_names()?.is_empty() => group = inner,
            _ => return Ok((group, name)),
        }
    }
}

fn text(numbers: &mut Numbers) -> VarLenUnicode {
    let all = [
        "",
        "csr_matrix",
        "csc_matrix",
        "array",
        "categorical",
        "dataframe",
        "dict",
        "string",
        "string-array",
        "nullable-integer",
        "nullable-boolean",
        "rec-array",
        "awkward-array",
        "numeric-scalar",
        "_index",
        "../..",
        "β\u{202e}",
    ];
    numbers.one(&all).parse().unwrap_or_default()
}

fn number(numbers: &mut Numbers) -> i64 {
    numbers.one(&[0, 1, -1, 2, 3, 127, 128, 1 << 31, 1 << 32, 1 << 50, i64::MAX, i64::MIN, -2])
}

fn edit_attribute(owner: &Location, numbers: &mut Numbers) -> hdf5::Result<()> {
    let usual = [
        "encoding-type",
        "encoding-version",
        "shape",
        "_index",
        "column-order",
        "h5sparse_format",
        "h5sparse_shape",
        "ordered",
        "categories",
        "axis",
    ];
    let names = owner.attr_names()?;
    let name = match numbers.below(3) {
        0 => numbers.one(&usual).to_owned(),
        _ if names.is_empty() => "shape".to_owned(),
        _ => names[numbers.below(names.len())].clone(),
    };
    if names.contains(&name) {
        owner.delete_attr(&name)?;
    }
    match numbers.below(8) {
        0 => Ok(()),
        1 | 2 => owner.new_attr::<VarLenUnicode>().create(&*name)?.write_scalar(&text(numbers)),
        3 => {
            let all: Vec<VarLenUnicode> = (0..numbers.below(6)).map(|_| text(numbers)).collect();
            owner.new_attr::<VarLenUnicode>().shape([all.len()]).create(&*name)?.write_raw(&all)
        }
        4 => {
            let all: Vec<i64> = (0..numbers.below(4)).map(|_| number(numbers)).collect();
            owner.new_attr::<i64>().shape([all.len()]).create(&*name)?.write_raw(&all)
        }
        5 => owner.new_attr::<f64>().create(&*name)?.write_scalar(&f64::NAN),
        6 => owner.new_attr::<u8>().shape([4000]).create(&*name)?.write_raw(&[7u8; 4000]),
        _ => owner.new_attr::<i64>().create(&*name)?.write_scalar(&number(numbers)),
    }
}

/// Other values of another length and type in place of what stood there.
fn replace(group: &Group, name: &str, numbers: &mut Numbers) -> hdf5::Result<()> {
    let claimed = group.dataset(name).map_or(vec![5], |data| data.shape());
    let n = claimed.iter().fold(1usize, |n, &m| n.saturating_mul(m)).min(100_000);
    group.unlink(name)?;
    let n = numbers.one(&[0, 1, n, n.saturating_sub(1), n + 1, n * 2, 3]);
    let shape: Vec<usize> = match numbers.below(5) {
        0 => vec![],
        1 => vec![n, 2],
        2 => vec![1, n, 1],
        _ => vec![n],
    };
    let len = shape.iter().product();
    match numbers.below(8) {
        0 => put(group, name, &shape, &vec![0i8; len]),
        1 => put(group, name, &shape, &(0..len as i64).collect::<Vec<_>>()),
        2 => put(group, name, &shape, &(0..len).map(|_| number(numbers)).collect::<Vec<_>>()),
        3 => put(group, name, &shape, &vec![f64::INFINITY; len]),
        4 => put(group, name, &shape, &vec![f32::NAN; len]),
        5 => put(group, name, &shape, &vec![true; len]),
        6 => put(group, name, &shape, &vec![u64::MAX; len]),
        _ => put(group, name, &shape, &vec![text(numbers); len]),
    }
}

fn put<T: H5Type>(group: &Group, name: &str, shape: &[usize], values: &[T]) -> hdf5::Result<()> {
    let data = group.new_dataset::<T>().shape(shape).create(name)?;
    if values.is_empty() { Ok(()) } else { data.write_raw(values) }
}

/// Integers of the file out of their range.
fn overwrite(data: &Dataset, numbers: &mut Numbers) -> hdf5::Result<()> {
    if data.shape().iter().try_fold(1usize, |n, &m| n.checked_mul(m)).is_none_or(|n| n > 10_000_000) {
        return Ok(());
    }
    let mut values = data.read_raw::<i64>()?;
    let n = values.len();
    for _ in 0..1 + numbers.below(3) {
        if let Some(value) = values.get_mut(numbers.below(n)) {
            *value = number(numbers);
        }
    }
    data.write_raw(&values)
}

/// A link to its own group, to the root, to nothing, to another file, or to itself.
fn link(file: &File, group: &Group, name: &str, numbers: &mut Numbers) -> hdf5::Result<()> {
    group.unlink(name)?;
    let own = group.name();
    match numbers.below(6) {
        0 => group.link_hard(&own, name),
        1 => group.link_hard("/", name),
        2 => group.link_soft(&format!("{own}/{name}"), name),
        3 => group.link_soft("/nowhere/at/all", name),
        4 => group.link_external("/etc/passwd", "/X", name),
        // Two groups in each other.
        _ => {
            let made = group.create_group(name)?;
            made.link_hard(&own, "back")?;
            file.link_hard(&made.name(), "again")
        }
    }
}

/// A dataset that claims more than any disk holds.
fn absurd(group: &Group, name: &str, numbers: &mut Numbers) -> hdf5::Result<()> {
    group.unlink(name)?;
    let n = 1usize << numbers.one(&[28, 31, 32, 40, 45, 50]);
    let chunk = numbers.one(&[1 << 10, 1 << 20, 1 << 27]);
    let plan = |shape: Vec<usize>, chunk: Vec<usize>| (shape, chunk);
    let (shape, chunk) = match numbers.below(3) {
        0 => plan(vec![n], vec![chunk]),
        1 => plan(vec![3, n], vec![1, chunk]),
        // The HDF5 crate multiplies the sizes without a check, so both of them together stay below 2^64.
        _ => plan(vec![n.min(1 << 31), n.min(1 << 31)], vec![1, chunk]),
    };
    match numbers.below(4) {
        0 => group.new_dataset::<f32>().chunk(chunk).deflate(9).shape(shape).create(name).map(|_| ()),
        1 => group.new_dataset::<i64>().chunk(chunk).shape(shape).create(name).map(|_| ()),
        2 => group.new_dataset::<VarLenUnicode>().chunk(chunk).shape(shape).create(name).map(|_| ()),
        _ => group
            .new_dataset::<bool>()
            .chunk(chunk)
            .shuffle()
            .deflate(1)
            .shape(shape)
            .create(name)
            .map(|_| ()),
    }
}

/// A group in a group in a group.
fn deep(group: &Group, name: &str, numbers: &mut Numbers) -> hdf5::Result<()> {
    group.unlink(name)?;
    let mut inner = group.create_group(name)?;
    for _ in 0..numbers.one(&[10, 70, 300, 1500]) {
        inner = inner.create_group("a")?;
    }
    put(&inner, "end", &[1], &[1i64])
}
