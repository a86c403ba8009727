//! Which of several names is likely meant by a name that does not exist.

/// The names of `candidates` nearest to `name`, the likeliest first, at most `limit`.
///
/// Nearness is the number of letters to insert, drop, change or swap, letter case and `_ - .` aside; a name that
/// contains the other counts as near. Names as far off as a third of their length or more are left out.
pub fn nearest(name: &str, candidates: &[String], limit: usize) -> Vec<String> {
    let wanted = plain(name);
    let mut scored: Vec<(usize, &String)> = candidates
        .iter()
        .filter_map(|candidate| {
            let found = plain(candidate);
            let far = distance(&wanted, &found);
            let contained = wanted.len().min(found.len()) >= 3
                && (contains(&found, &wanted) || contains(&wanted, &found));
            let bound = (wanted.len().max(found.len()) / 3).max(1);
            if far <= bound { Some((far, candidate)) } else { contained.then_some((bound + far, candidate)) }
        })
        .collect();
    scored.sort();
    scored.into_iter().take(limit).map(|(_, name)| name.clone()).collect()
}

fn plain(name: &str) -> Vec<char> {
    name.chars().filter(|c| !matches!(c, '_' | '-' | '.' | ' ')).flat_map(char::to_lowercase).collect()
}

fn contains(long: &[char], short: &[char]) -> bool {
    long.windows(short.len().max(1)).any(|window| window == short)
}

/// Edit distance with swaps of neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut table: Vec<usize> = vec![0; (a.len() + 1) * width];
    for j in 0..width {
        table[j] = j;
    }
    for i in 1..=a.len() {
        table[i * width] = i;
        for j in 1..width {
            let change = table[(i - 1) * width + j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(table[(i - 1) * width + j] + 1).min(table[i * width + j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(table[(i - 2) * width + j - 2] + 1);
            }
            table[i * width + j] = best;
        }
    }
    table[a.len() * width + b.len()]
}
