//! Tells a checkpoint that was cut off, most often by a download, from one that is damaged otherwise.

use serde_json::Value;

/// Longer heads are not believed, in bytes; nor are they by safetensors.
const MAX_HEAD: u64 = 100_000_000;

/// What is missing of a safetensors file of these bytes, if its end is.
pub(crate) fn safetensors(bytes: &[u8]) -> Option<String> {
    const LENGTH: u64 = size_of::<u64>() as u64;
    let found = bytes.len() as u64;
    let Some((length, rest)) = bytes.split_first_chunk() else { return Some(told("at least 8", found)) };
    let head = u64::from_le_bytes(*length);
    if head > MAX_HEAD {
        return None;
    }
    let Some(head_bytes) = rest.get(..head as usize) else {
        return Some(told(&format!("more than {}", LENGTH + head), found));
    };
    let Ok(Value::Object(tensors)) = serde_json::from_slice(head_bytes) else { return None };
    let end = tensors.values().filter_map(|tensor| tensor["data_offsets"][1].as_u64()).max()?;
    let expected = end.checked_add(LENGTH + head)?;
    (expected > found).then(|| told(&expected.to_string(), found))
}

/// Of a ZIP archive that begins with `start` and has `found` bytes, and whose directory can't be read.
pub(crate) fn archive(start: &[u8], found: u64) -> Option<String> {
    let told = || {
        format!(
            "its last part, the archive's directory, is missing from its {found} bytes: was the download cut?"
        )
    };
    start.starts_with(b"PK\x03\x04").then(told)
}

fn told(expected: &str, found: u64) -> String {
    format!("expected {expected} bytes, the file has {found}: was the download cut?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(head: &str, data: usize) -> Vec<u8> {
        [&(head.len() as u64).to_le_bytes()[..], head.as_bytes(), &vec![0; data]].concat()
    }

    #[test]
    fn only_a_missing_end_is_called_one() {
        let head = r#"{"__metadata__":{"a":"b"},"v":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#;
        let whole = file(head, 16);
        assert_eq!(safetensors(&whole), None);
        for cut in [0, 7, 8, 20, whole.len() - 17, whole.len() - 1] {
            let told = safetensors(&whole[..cut]).expect("cut off");
            assert!(told.contains(&format!("the file has {cut}: was the download cut?")), "{told}");
        }
        let told = safetensors(&whole[..whole.len() - 1]).expect("cut off");
        assert!(told.starts_with(&format!("expected {} bytes", whole.len())), "{told}");
        for other in [file("no head", 16), file("{}", 16), file(head, 17), b"<!DOCTYPE html>".to_vec()] {
            assert_eq!(safetensors(&other), None);
        }
        assert_eq!(archive(b"\x80\x02}q", 99), None);
    }
}
