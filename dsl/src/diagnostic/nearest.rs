//! Candidates for a misspelt name.

/// At most three candidates, the nearest first; ties alphabetically. A candidate counts if it is within a third of the
/// longer name's length in edits (at least one), upper and lower case and a swap of neighbours counting as one edit.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut near: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .filter_map(|candidate| {
            let longer = name.chars().count().max(candidate.chars().count());
            let limit = (longer / 3).max(1);
            let edits = if candidate.eq_ignore_ascii_case(name) { 1 } else { distance(name, candidate) };
            (edits <= limit && (edits < longer || candidate.eq_ignore_ascii_case(name)))
                .then_some((edits, candidate))
        })
        .collect();
    near.sort();
    near.dedup();
    near.truncate(3);
    near.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Edit distance with swaps of neighbours. Names beyond 64 characters are compared by their beginning.
fn distance(a: &str, b: &str) -> usize {
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
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
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
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abcd", "abdc"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
