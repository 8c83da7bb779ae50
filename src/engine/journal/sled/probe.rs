//! The store's values without a store: read the way opening and reading them does, and written again. Fuzzing needs this at a
//! speed that no store has; nothing else uses it.

use super::commit::{Run, decode_block};
use super::head_file;
use super::layout::{self, Key, name_bytes};

/// What the bytes of a value say, written again with its key; `None` where they say nothing. Nothing may be lost on the way: the
/// same bytes come back.
#[must_use]
pub fn written_again(key: &[u8], body: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    Some(match layout::parse_key(key)? {
        Key::Format => (layout::FORMAT_KEY.to_vec(), body.to_vec()),
        Key::Checkpoint => {
            let number = layout::decode_checkpoint(body)?;
            (layout::CHECKPOINT_KEY.to_vec(), layout::encode_checkpoint(number).body().to_vec())
        }
        Key::Block(commit, block) => (layout::block_key(commit, block), block_again(block, body)?),
        Key::Head(stream) => {
            let index = layout::decode_head(body)?;
            (layout::head_key(&stream), layout::encode_head(index.head, &index.extents).body().to_vec())
        }
        Key::Index(stream, first) => {
            let extents = layout::decode_index(first, body)?;
            (layout::index_key(&stream, first), layout::encode_index(&extents).body().to_vec())
        }
    })
}

/// What the side file says, written again; `None` where it says nothing.
#[must_use]
pub fn side_file_again(text: &str) -> Option<String> {
    head_file::parse(text).map(head_file::format)
}

fn block_again(block: u16, body: &[u8]) -> Option<Vec<u8>> {
    let (header, runs) = decode_block(block, body)?;
    let mut bytes = Vec::with_capacity(body.len());
    if let Some(header) = header {
        bytes.extend_from_slice(&header.hash);
        bytes.extend_from_slice(&header.blocks.to_be_bytes());
    }
    for run in &runs {
        push_run(&mut bytes, run);
    }
    Some(bytes)
}

fn push_run(bytes: &mut Vec<u8>, run: &Run<'_>) {
    bytes.push(name_bytes(run.stream));
    bytes.extend_from_slice(run.stream.as_bytes());
    bytes.extend_from_slice(&run.first.to_be_bytes());
    bytes.extend_from_slice(&run.count.to_be_bytes());
    bytes.extend_from_slice(&run.before);
    bytes.extend_from_slice(&run.after);
    // Records that are not what their run says stay bytes.
    let mut records = Vec::with_capacity(run.records.len());
    match run.records() {
        Ok(stored) => stored.iter().for_each(|record| {
            records.extend_from_slice(&u16::try_from(record.id.len()).unwrap_or(u16::MAX).to_be_bytes());
            records.extend_from_slice(record.id.as_bytes());
            records.extend_from_slice(&u32::try_from(record.payload.len()).unwrap_or(u32::MAX).to_be_bytes());
            records.extend_from_slice(record.payload);
        }),
        Err(_) => records.extend_from_slice(run.records),
    }
    bytes.extend_from_slice(&u32::try_from(records.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(&records);
}
