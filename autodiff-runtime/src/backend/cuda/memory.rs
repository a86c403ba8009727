//! Arrays in a machine's memory.
#![allow(unsafe_code, reason = "numbers are copied as bytes")]

use super::machine::Machine;
use crate::element::Element;
use crate::store::{RunError, Variables};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Numbers without padding or invalid bit patterns.
pub(super) trait Plain: Copy {}
impl Plain for f32 {}
impl Plain for f64 {}
impl Plain for u32 {}

/// The bytes of numbers.
fn bytes<T: Copy>(x: &[T]) -> &[u8] {
    // SAFETY: the callers' types have no padding; the slice covers the same memory for as long.
    unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), std::mem::size_of_val(x)) }
}

fn bytes_mut<T: Copy>(x: &mut [T]) -> &mut [u8] {
    // SAFETY: as above, and every bit pattern is a number.
    unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), std::mem::size_of_val(x)) }
}

/// An array that gives its memory back.
pub(super) struct Array {
    machine: Arc<dyn Machine>,
    address: u64,
    capacity: usize,
}

impl Array {
    pub fn new(machine: &Arc<dyn Machine>, bytes: usize) -> Result<Self, RunError> {
        let capacity = bytes.max(4);
        Ok(Self { machine: machine.clone(), address: machine.allocate(capacity)?, capacity })
    }

    pub fn address(&self) -> u64 {
        self.address
    }

    /// Room for so many bytes, half as many more if it must grow; whether it moved. What it held is lost then.
    pub fn reserve(&mut self, bytes: usize) -> Result<bool, RunError> {
        if bytes <= self.capacity {
            return Ok(false);
        }
        *self = Self::new(&self.machine, bytes + bytes / 2)?;
        Ok(true)
    }

    pub fn upload<T: Plain>(&self, at: usize, x: &[T]) -> Result<(), RunError> {
        let from = bytes(x);
        assert!(at + from.len() <= self.capacity, "an upload of {} bytes at {at}", from.len());
        if from.is_empty() { Ok(()) } else { self.machine.upload(self.address + at as u64, from) }
    }

    pub fn download<T: Plain>(&self, at: usize, x: &mut [T]) -> Result<(), RunError> {
        let to = bytes_mut(x);
        assert!(at + to.len() <= self.capacity, "a download of {} bytes at {at}", to.len());
        if to.is_empty() { Ok(()) } else { self.machine.download(self.address + at as u64, to) }
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        self.machine.release(self.address);
    }
}

/// A machine's copy of a store of variables, shared by the programs of one back end.
#[derive(Default)]
pub(super) struct Mirror {
    /// Which state of the store it holds.
    version: Option<u64>,
    arrays: BTreeMap<String, (Array, usize)>,
    /// Changes whenever an array moves.
    generation: u64,
}

impl Mirror {
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn address(&self, name: &str) -> Option<u64> {
        self.arrays.get(name).map(|a| a.0.address())
    }

    /// Brings the copy to the state of the store.
    pub fn follow<E: Element + Plain>(
        &mut self,
        machine: &Arc<dyn Machine>,
        variables: &Variables<E>,
    ) -> Result<(), RunError> {
        if self.version == Some(variables.version()) {
            return Ok(());
        }
        self.version = None;
        let mut moved = false;
        for (name, value) in variables.iter() {
            let size = std::mem::size_of_val(value);
            match self.arrays.get_mut(name) {
                Some((array, len)) if *len == value.len() => array.upload(0, value)?,
                _ => {
                    let array = Array::new(machine, size)?;
                    array.upload(0, value)?;
                    self.arrays.insert(name.to_owned(), (array, value.len()));
                    moved = true;
                }
            }
        }
        self.generation += u64::from(moved);
        self.version = Some(variables.version());
        Ok(())
    }

    /// After a run that changed the copy: the store is behind.
    pub fn lead<E: Element>(&mut self, variables: &mut Variables<E>) {
        self.version = Some(variables.fall_behind());
    }

    /// Brings the store to the state of the copy.
    pub fn settle<E: Element + Plain>(&mut self, variables: &mut Variables<E>) -> Result<(), RunError> {
        if !variables.is_behind() || self.version != Some(variables.version()) {
            return Ok(());
        }
        variables.catch_up(|name, value| match self.arrays.get(name) {
            Some((array, _)) => array.download(0, value),
            None => Ok(()),
        })
    }
}
