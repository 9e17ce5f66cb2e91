//! Holds every row of `cases/*.tsv` (language, input, what is spoken) against the normaliser.

use std::{fs, path::Path};
use stentor_text::{TextOptions, normalize};

struct Case {
    place: String,
    language: String,
    input: String,
    spoken: String,
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let (c, len) = match tail.chars().next() {
            Some('n') => ('\n', 1),
            Some('t') => ('\t', 1),
            Some('u') => {
                let close = tail.find('}').expect("closing brace of an escape");
                let code = u32::from_str_radix(&tail[2..close], 16).expect("hexadecimal escape");
                (char::from_u32(code).expect("a character"), close + 1)
            }
            _ => ('\\', usize::from(tail.starts_with('\\'))),
        };
        out.push(c);
        rest = &tail[len..];
    }
    out + rest
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("folder of cases").map(|f| f.expect("a file").path()).collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let rule = file.file_stem().expect("a file name").to_string_lossy().into_owned();
        let table = fs::read_to_string(&file).expect("a readable table");
        for (line, row) in
            table.lines().enumerate().filter(|(_, row)| !row.is_empty() && !row.starts_with("# "))
        {
            let columns: Vec<&str> = row.split('\t').collect();
            let place = format!("{rule}.tsv:{}", line + 1);
            let [language, input, spoken] = columns[..] else { panic!("{place}: not three columns") };
            cases.push(Case {
                place,
                language: language.to_owned(),
                input: unescape(input),
                spoken: unescape(spoken),
            });
        }
    }
    cases
}

#[test]
fn every_case_is_spoken_as_written() {
    let cases = cases();
    let mut wrong = Vec::new();
    for case in &cases {
        let language = match case.language.as_str() {
            "us" => "en-us",
            "gb" => "en-gb",
            other => other,
        };
        let options = TextOptions { language: language.parse().unwrap(), normalize: true, tags: Vec::new() };
        let got = normalize(&case.input, &options).text;
        if got != case.spoken {
            wrong.push(format!(
                "{}\n  input  {}\n  want   {}\n  got    {got}",
                case.place, case.input, case.spoken
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases differ\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() >= 350, "only {} cases", cases.len());
}

#[test]
fn no_case_stands_twice_and_each_rule_has_some() {
    let cases = cases();
    let mut inputs: Vec<_> = cases.iter().map(|case| (&case.language, &case.input)).collect();
    inputs.sort();
    inputs.dedup();
    assert_eq!(inputs.len(), cases.len());
    let mut per_rule = std::collections::BTreeMap::new();
    for case in &cases {
        *per_rule.entry(case.place.split('.').next().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert!(per_rule.len() >= 20 && per_rule.values().all(|&n| n >= 5), "{per_rule:?}");
}
