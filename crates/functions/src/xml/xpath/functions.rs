//! XPath's own functions.

use super::{
    evaluate::{Context, Value, nodes, number_of, value},
    parse::Expr,
};

pub(super) fn call(ctx: Context<'_>, name: &str, args: &[Expr]) -> Result<Value, String> {
    let document = ctx.document;
    let count = |least: usize, most: usize| {
        if (least..=most).contains(&args.len()) {
            Ok(())
        } else {
            Err(format!("{name}() has {} arguments", args.len()))
        }
    };
    let text = |index: usize| -> Result<String, String> {
        match args.get(index) {
            Some(arg) => Ok(value(ctx, arg)?.string(document)),
            None => Ok(document.string(ctx.node)),
        }
    };
    let number = |index: usize| -> Result<f64, String> {
        match args.get(index) {
            Some(arg) => Ok(value(ctx, arg)?.number(document)),
            None => Ok(number_of(&document.string(ctx.node))),
        }
    };
    let set = || match args.first() {
        Some(arg) => nodes(ctx, arg),
        None => Ok(vec![ctx.node]),
    };
    let (least, most) = match name {
        "last" | "position" | "true" | "false" => (0, 0),
        "count" | "sum" | "not" | "boolean" | "floor" | "ceiling" | "round" => (1, 1),
        "string" | "number" | "string-length" | "normalize-space" | "name" | "local-name" => (0, 1),
        "starts-with" | "contains" | "substring-before" | "substring-after" => (2, 2),
        "substring" => (2, 3),
        "translate" => (3, 3),
        "concat" => (2, usize::MAX),
        _ => return Err(format!("Could not find function: {name}")),
    };
    count(least, most)?;
    Ok(match name {
        "last" => Value::Number(ctx.size as f64),
        "position" => Value::Number(ctx.position as f64),
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        "count" => Value::Number(set()?.len() as f64),
        "sum" => Value::Number(set()?.into_iter().map(|n| number_of(&document.string(n))).sum()),
        "not" => Value::Boolean(!value(ctx, &args[0])?.boolean(document)),
        "boolean" => Value::Boolean(value(ctx, &args[0])?.boolean(document)),
        "floor" => Value::Number(number(0)?.floor()),
        "ceiling" => Value::Number(number(0)?.ceil()),
        "round" => Value::Number((number(0)? + 0.5).floor()),
        "string" => Value::Text(text(0)?),
        "number" => Value::Number(number(0)?),
        "string-length" => Value::Number(text(0)?.chars().count() as f64),
        "normalize-space" => Value::Text(text(0)?.split_ascii_whitespace().collect::<Vec<_>>().join(" ")),
        "name" => Value::Text(set()?.first().map(|n| document.name(*n).to_owned()).unwrap_or_default()),
        "local-name" => {
            let name = set()?.first().map(|n| document.name(*n)).unwrap_or_default();
            Value::Text(name.rsplit(':').next().unwrap_or_default().to_owned())
        }
        "starts-with" => Value::Boolean(text(0)?.starts_with(&text(1)?)),
        "contains" => Value::Boolean(text(0)?.contains(&text(1)?)),
        "substring-before" => {
            let (whole, part) = (text(0)?, text(1)?);
            Value::Text(whole.find(&part).map(|at| whole[..at].to_owned()).unwrap_or_default())
        }
        "substring-after" => {
            let (whole, part) = (text(0)?, text(1)?);
            Value::Text(whole.find(&part).map(|at| whole[at + part.len()..].to_owned()).unwrap_or_default())
        }
        "substring" => {
            let round = |v: f64| (v + 0.5).floor();
            let start = round(number(1)?);
            let end = if args.len() > 2 { start + round(number(2)?) } else { f64::INFINITY };
            let taken = text(0)?;
            let inside = |place: usize| (place as f64) >= start && (place as f64) < end;
            Value::Text(taken.chars().enumerate().filter(|(i, _)| inside(i + 1)).map(|(_, c)| c).collect())
        }
        "translate" => {
            let (from, to): (Vec<char>, Vec<char>) = (text(1)?.chars().collect(), text(2)?.chars().collect());
            let translated = |c: char| match from.iter().position(|f| *f == c) {
                Some(at) => to.get(at).copied(),
                None => Some(c),
            };
            Value::Text(text(0)?.chars().filter_map(translated).collect())
        }
        _ => {
            let mut all = String::new();
            for arg in args {
                all.push_str(&value(ctx, arg)?.string(document));
            }
            Value::Text(all)
        }
    })
}
