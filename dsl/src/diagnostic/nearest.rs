//! Candidates for a misspelt name.

/// How many names of a fitting length are compared: more only slow a huge and broken program down.
const COMPARED: usize = 1000;

/// At most three candidates, the nearest first; ties alphabetically. A candidate counts if it is within a third of the
/// longer name's length in edits (at least one), upper and lower case and a swap of neighbours counting as one edit.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let length = name.chars().count();
    let mut near: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .map(|candidate| (candidate, length.max(candidate.chars().count())))
        .filter(|(candidate, longer)| length.abs_diff(candidate.chars().count()) <= (longer / 3).max(1))
        .take(COMPARED)
        .filter_map(|(candidate, longer)| {
            let limit = (longer / 3).max(1);
            let same = candidate.eq_ignore_ascii_case(name);
            let edits = if same { 1 } else { distance(name, candidate, limit)? };
            (edits < longer || same).then_some((edits, candidate))
        })
        .collect();
    near.sort();
    near.dedup();
    near.truncate(3);
    near.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Edit distance with swaps of neighbours, if it is within the limit. Names beyond 64 characters are compared by their
/// beginning.
fn distance(a: &str, b: &str, limit: usize) -> Option<usize> {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = change.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        // A swap reaches over one row, so both must be beyond the limit before nothing can come back.
        let beyond = |row: &[usize]| row.iter().all(|d| *d > limit);
        if beyond(&row) && beyond(&above) {
            return None;
        }
        before = std::mem::replace(&mut above, row);
    }
    Some(above[b.len()]).filter(|edits| *edits <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_first_and_at_most_three() {
        let names = ["batch", "batches", "bacth", "gene", "bath", "botch"];
        assert_eq!(nearest("batch", names), ["bacth", "bath", "botch"]);
        assert_eq!(nearest("Gene", names), ["gene"]);
        assert!(nearest("theta", names).is_empty());
    }

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc", 9), Some(3));
        assert_eq!(distance("abcd", "abdc", 9), Some(1));
        assert_eq!(distance("kitten", "sitting", 9), Some(3));
        assert_eq!(distance("kitten", "sitting", 3), Some(3));
        assert_eq!(distance("kitten", "sitting", 2), None);
    }
}
