//! Golden scenarios: `*.txt` is a script that a DBA can read, `*.out` what came of it. Each line of
//! a script is done in a universe of its own, without chance; the output shows the journal as it
//! grew. `UPDATE_GOLDEN=1` writes the outputs anew: read the difference before you keep it.

mod script;
mod words;

use std::{fs, path::PathBuf};

#[test]
fn scenarios_come_out_as_written() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut scripts: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|file| file.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    scripts.sort();
    assert!(scripts.len() >= 15, "there are only {} scenarios", scripts.len());
    let mut differing = Vec::new();
    for path in scripts {
        let text = fs::read_to_string(&path).expect("it can be read");
        let out = script::play(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        let golden = path.with_extension("out");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &out).expect("it can be written");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if expected != out {
            differing.push(difference(&golden, &expected, &out));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

fn difference(path: &std::path::Path, expected: &str, found: &str) -> String {
    let place = expected.lines().zip(found.lines()).position(|(a, b)| a != b);
    let place = place.unwrap_or_else(|| expected.lines().count().min(found.lines().count()));
    format!(
        "{}:{}:\n  golden: {}\n  now:    {}",
        path.display(),
        place + 1,
        expected.lines().nth(place).unwrap_or("(ends)"),
        found.lines().nth(place).unwrap_or("(ends)")
    )
}
