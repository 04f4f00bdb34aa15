//! Text that means nothing: any bytes, any characters, and characters that are trouble elsewhere.

use crate::random::Random;

/// Combining, wide, invisible, reversing and case-changing characters, spaces that are none in ASCII, and controls.
const ODD: [char; 32] = [
    '\0',
    '\t',
    '\n',
    '\r',
    '\u{b}',
    '\u{c}',
    '\u{1a}',
    '\u{7f}',
    '\u{85}',
    '\u{a0}',
    '\u{ad}',
    'ß',
    'İ',
    'ı',
    'ſ',
    'é',
    '\u{301}',
    'Ω',
    '\u{200b}',
    '\u{200d}',
    '\u{202e}',
    '\u{2028}',
    '\u{3000}',
    '中',
    '\u{feff}',
    '\u{fffd}',
    '\u{ffff}',
    '𐍈',
    '😀',
    '\u{1f1e6}',
    '\u{e0001}',
    '\u{10ffff}',
];

pub fn any_bytes(random: &mut Random) -> String {
    let length = random.below(200);
    let bytes: Vec<u8> = (0..length).map(|_| (random.number() & 0xff) as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

pub fn any_characters(random: &mut Random) -> String {
    (0..random.below(120)).map(|_| character(random)).collect()
}

fn character(random: &mut Random) -> char {
    match random.below(4) {
        0 => ODD.get(random.below(ODD.len())).copied().unwrap_or_default(),
        1 => char::from_u32((random.number() % 0x11_0000) as u32).unwrap_or('\u{d7ff}'),
        _ => char::from(32 + (random.number() % 95) as u8),
    }
}

/// The text with some of its characters replaced, removed or doubled.
pub fn disturbed(random: &mut Random, text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..1 + random.below(6) {
        let at = random.below(characters.len() + 1);
        match random.below(3) {
            0 => characters.insert(at, character(random)),
            1 if at < characters.len() => {
                characters.remove(at);
            }
            _ => {
                if let Some(c) = characters.get_mut(at) {
                    *c = character(random);
                }
            }
        }
    }
    characters.into_iter().collect()
}
