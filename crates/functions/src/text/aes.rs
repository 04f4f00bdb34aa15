//! `aes_encrypt` and `aes_decrypt`: ECB, CBC and GCM.

use aes::{
    Aes128, Aes192, Aes256, Block,
    cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit},
};
use arrow::{array::ArrayRef, datatypes::DataType as Arrow};
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkError, SparkResult};

use crate::{
    FunctionContext, Typed, errors,
    errors::external,
    literal,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Udf, binaries, call},
};

const BLOCK: usize = 16;
const GCM_IV: usize = 12;

pub(super) fn udfs() -> Vec<Udf> {
    let binary = || Ret::Fixed(Arrow::Binary);
    vec![
        // Without an iv every call draws one.
        Udf::volatile("spark_aes_encrypt", binary(), encrypt_rows),
        Udf::new("spark_aes_decrypt", binary(), |args| decrypt_rows(args, false)),
        Udf::new("spark_aes_decrypt_try", binary(), |args| decrypt_rows(args, true)),
    ]
}

pub(super) fn functions() -> Vec<FunctionDef> {
    vec![
        FunctionDef::resolve("aes_encrypt", |ctx, name, args| {
            check_count(name, args.len(), 2, 6)?;
            resolve(ctx, name, "spark_aes_encrypt", "bbssbb", args)
        }),
        FunctionDef::resolve("aes_decrypt", |ctx, name, args| {
            check_count(name, args.len(), 2, 5)?;
            resolve(ctx, name, "spark_aes_decrypt", "bbssb", args)
        }),
        FunctionDef::resolve("try_aes_decrypt", |ctx, name, args| {
            check_count(name, args.len(), 2, 5)?;
            resolve(ctx, name, "spark_aes_decrypt_try", "bbssb", args)
        }),
    ]
}

fn resolve(
    ctx: &FunctionContext,
    name: &'static str,
    udf: &str,
    params: &str,
    mut args: Vec<Typed>,
) -> SparkResult<Typed> {
    let defaults = [None, None, Some("GCM"), Some("DEFAULT"), Some(""), Some("")];
    for default in defaults.iter().take(params.len()).skip(args.len()).flatten() {
        args.push(literal::text(default));
    }
    let mut exprs = Vec::new();
    for (index, (letter, arg)) in params.chars().zip(args).enumerate() {
        exprs.push(want(ctx, name, index, letter, arg)?.expr);
    }
    Ok(Typed::new(call(udf, exprs)?, DataType::Binary, true))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Ecb,
    Cbc,
    Gcm,
}

fn mode_of(mode: &str, padding: &str) -> SparkResult<Mode> {
    let is = |text: &str, wanted: &str| text.eq_ignore_ascii_case(wanted);
    let padded = is(padding, "PKCS") || is(padding, "DEFAULT");
    if is(mode, "ECB") && padded {
        Ok(Mode::Ecb)
    } else if is(mode, "CBC") && padded {
        Ok(Mode::Cbc)
    } else if is(mode, "GCM") && (is(padding, "NONE") || is(padding, "DEFAULT")) {
        Ok(Mode::Gcm)
    } else {
        Err(SparkError::new(
            "UNSUPPORTED_FEATURE.AES_MODE",
            "0A000",
            format!("The feature is not supported: AES-{mode} with the padding {padding} by the `aes_encrypt`/`aes_decrypt` function."),
        )
        .param("mode", mode)
        .param("padding", padding)
        .param("functionName", "`aes_encrypt`/`aes_decrypt`"))
    }
}

enum Cipher {
    Of128(Aes128),
    Of192(Box<Aes192>),
    Of256(Box<Aes256>),
}

impl Cipher {
    fn new(key: &[u8]) -> SparkResult<Self> {
        let cipher = match key.len() {
            16 => Aes128::new_from_slice(key).map(Self::Of128).ok(),
            24 => Aes192::new_from_slice(key).map(|c| Self::Of192(Box::new(c))).ok(),
            32 => Aes256::new_from_slice(key).map(|c| Self::Of256(Box::new(c))).ok(),
            _ => None,
        };
        cipher.ok_or_else(|| {
            invalid(
                "AES_KEY_LENGTH",
                "key",
                format!("expects a binary value with 16, 24 or 32 bytes, but got {} bytes.", key.len()),
            )
            .param("actualLength", key.len().to_string())
        })
    }

    fn encrypt(&self, block: [u8; BLOCK]) -> [u8; BLOCK] {
        let mut block = Block::from(block);
        match self {
            Self::Of128(c) => c.encrypt_block(&mut block),
            Self::Of192(c) => c.encrypt_block(&mut block),
            Self::Of256(c) => c.encrypt_block(&mut block),
        }
        block.into()
    }

    fn decrypt(&self, block: [u8; BLOCK]) -> [u8; BLOCK] {
        let mut block = Block::from(block);
        match self {
            Self::Of128(c) => c.decrypt_block(&mut block),
            Self::Of192(c) => c.decrypt_block(&mut block),
            Self::Of256(c) => c.decrypt_block(&mut block),
        }
        block.into()
    }

    /// The bytes combined with the key stream behind this counter.
    fn counted(&self, iv: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for (i, chunk) in bytes.chunks(BLOCK).enumerate() {
            let stream = self.encrypt(counter(iv, i as u32 + 2));
            out.extend(chunk.iter().zip(stream).map(|(b, s)| b ^ s));
        }
        out
    }

    fn tag(&self, iv: &[u8], aad: &[u8], encrypted: &[u8]) -> [u8; BLOCK] {
        let key = u128::from_be_bytes(self.encrypt([0; BLOCK]));
        let mut hash = 0u128;
        for part in [aad, encrypted] {
            for chunk in part.chunks(BLOCK) {
                hash = times(hash ^ u128::from_be_bytes(padded_block(chunk)), key);
            }
        }
        let lengths = (aad.len() as u128 * 8) << 64 | (encrypted.len() as u128 * 8);
        hash = times(hash ^ lengths, key);
        (hash ^ u128::from_be_bytes(self.encrypt(counter(iv, 1)))).to_be_bytes()
    }
}

fn padded_block(chunk: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..chunk.len()].copy_from_slice(chunk);
    block
}

fn counter(iv: &[u8], count: u32) -> [u8; BLOCK] {
    let mut block = padded_block(iv);
    block[GCM_IV..].copy_from_slice(&count.to_be_bytes());
    block
}

/// The product in the field of GCM's hash.
fn times(a: u128, mut b: u128) -> u128 {
    const REDUCE: u128 = 0xe1 << 120;
    let mut product = 0;
    for bit in (0..128).rev() {
        if a >> bit & 1 == 1 {
            product ^= b;
        }
        b = if b & 1 == 1 { (b >> 1) ^ REDUCE } else { b >> 1 };
    }
    product
}

fn invalid(subclass: &str, parameter: &str, detail: String) -> SparkError {
    errors::invalid_parameter(subclass, "aes_encrypt`/`aes_decrypt", parameter, detail)
}

fn crypto_error(detail: &str) -> SparkError {
    invalid("AES_CRYPTO_ERROR", "expr, key", format!("detail message: {detail}")).param("detailMessage", detail)
}

fn unsupported(subclass: &str, what: &str, mode: &str) -> SparkError {
    SparkError::new(
        format!("UNSUPPORTED_FEATURE.{subclass}"),
        "0A000",
        format!("The feature is not supported: {mode} with {what} by the `aes_encrypt`/`aes_decrypt` function."),
    )
    .param("mode", mode)
    .param("functionName", "`aes_encrypt`")
}

fn encrypt(input: &[u8], key: &[u8], mode: Mode, mode_text: &str, iv: &[u8], aad: &[u8]) -> SparkResult<Vec<u8>> {
    let cipher = Cipher::new(key)?;
    let length = match mode {
        Mode::Ecb => 0,
        Mode::Cbc => BLOCK,
        Mode::Gcm => GCM_IV,
    };
    if !iv.is_empty() && mode == Mode::Ecb {
        return Err(unsupported("AES_UNSUPPORTED_IV", "an initialization vector (IV)", mode_text));
    }
    if !aad.is_empty() && mode != Mode::Gcm {
        return Err(unsupported("AES_UNSUPPORTED_AAD", "additional authenticate data (AAD)", mode_text));
    }
    if !iv.is_empty() && iv.len() != length {
        return Err(invalid(
            "AES_IV_LENGTH",
            "iv",
            format!("supports 16-byte CBC IVs and 12-byte GCM IVs, but got {} bytes for {mode_text}.", iv.len()),
        )
        .param("mode", mode_text)
        .param("actualLength", iv.len().to_string()));
    }
    let mut out = if iv.is_empty() { random_bytes(length) } else { iv.to_vec() };
    if mode == Mode::Gcm {
        let encrypted = cipher.counted(&out, input);
        let tag = cipher.tag(&out, aad, &encrypted);
        out.extend(encrypted);
        out.extend(tag);
        return Ok(out);
    }
    let missing = BLOCK - input.len() % BLOCK;
    let padded: Vec<u8> = input.iter().copied().chain(std::iter::repeat_n(missing as u8, missing)).collect();
    let mut last = padded_block(&out);
    for chunk in padded.chunks(BLOCK) {
        let mut block = padded_block(chunk);
        if mode == Mode::Cbc {
            block.iter_mut().zip(last).for_each(|(b, l)| *b ^= l);
        }
        last = cipher.encrypt(block);
        out.extend(last);
    }
    Ok(out)
}

fn random_bytes(count: usize) -> Vec<u8> {
    use std::hash::{BuildHasher, Hasher};
    let random = || std::collections::hash_map::RandomState::new().build_hasher().finish().to_le_bytes();
    (0..count.div_ceil(8)).flat_map(|_| random()).take(count).collect()
}

fn decrypt(input: &[u8], key: &[u8], mode: Mode, mode_text: &str, aad: &[u8]) -> SparkResult<Vec<u8>> {
    let cipher = Cipher::new(key)?;
    if !aad.is_empty() && mode != Mode::Gcm {
        return Err(unsupported("AES_UNSUPPORTED_AAD", "additional authenticate data (AAD)", mode_text));
    }
    if mode == Mode::Gcm {
        let cut_off = || crypto_error("Input data too short to contain an expected tag length of 16bytes");
        let (iv, rest) = input.split_at_checked(GCM_IV).ok_or_else(cut_off)?;
        let (encrypted, tag) = rest.len().checked_sub(BLOCK).map(|at| rest.split_at(at)).ok_or_else(cut_off)?;
        if cipher.tag(iv, aad, encrypted) != tag {
            return Err(crypto_error("Tag mismatch"));
        }
        return Ok(cipher.counted(iv, encrypted));
    }
    let iv = if mode == Mode::Cbc { BLOCK } else { 0 };
    let Some((iv, encrypted)) = input.split_at_checked(iv) else {
        return Err(crypto_error("Wrong IV length: must be 16 bytes long"));
    };
    if encrypted.len() % BLOCK != 0 {
        return Err(crypto_error("Input length must be multiple of 16 when decrypting with padded cipher"));
    }
    let mut last = padded_block(iv);
    let mut out = Vec::with_capacity(encrypted.len());
    for chunk in encrypted.chunks(BLOCK) {
        let block = padded_block(chunk);
        let plain = cipher.decrypt(block);
        match mode {
            Mode::Cbc => out.extend(plain.iter().zip(last).map(|(p, l)| p ^ l)),
            _ => out.extend(plain),
        }
        last = block;
    }
    let Some(missing) = out.last().map(|b| usize::from(*b)) else { return Ok(out) };
    let good = (1..=BLOCK).contains(&missing) && out.iter().rev().take(missing).all(|b| usize::from(*b) == missing);
    if !good {
        return Err(crypto_error(
            "Given final block not properly padded. Such issues can arise if a bad key is used during decryption.",
        ));
    }
    out.truncate(out.len() - missing);
    Ok(out)
}

fn encrypt_rows(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (inputs, keys, ivs, aads) = (args.bytes(0)?, args.bytes(1)?, args.bytes(4)?, args.bytes(5)?);
    let (modes, paddings) = (args.text(2)?, args.text(3)?);
    binaries(args, |row, out| {
        let (Some(input), Some(key)) = (inputs.get(row), keys.get(row)) else { return Ok(false) };
        let (Some(mode), Some(padding)) = (modes.get(row), paddings.get(row)) else { return Ok(false) };
        let (Some(iv), Some(aad)) = (ivs.get(row), aads.get(row)) else { return Ok(false) };
        let made = mode_of(mode, padding).and_then(|m| encrypt(input, key, m, mode, iv, aad));
        out.extend(made.map_err(external)?);
        Ok(true)
    })
}

fn decrypt_rows(args: &Args<'_>, tolerant: bool) -> DfResult<ArrayRef> {
    let (inputs, keys, aads) = (args.bytes(0)?, args.bytes(1)?, args.bytes(4)?);
    let (modes, paddings) = (args.text(2)?, args.text(3)?);
    binaries(args, |row, out| {
        let (Some(input), Some(key), Some(aad)) = (inputs.get(row), keys.get(row), aads.get(row)) else {
            return Ok(false);
        };
        let (Some(mode), Some(padding)) = (modes.get(row), paddings.get(row)) else { return Ok(false) };
        match mode_of(mode, padding).and_then(|m| decrypt(input, key, m, mode, aad)) {
            Ok(plain) => {
                out.extend(plain);
                Ok(true)
            }
            Err(_) if tolerant => Ok(false),
            Err(error) => Err(external(error)),
        }
    })
}
