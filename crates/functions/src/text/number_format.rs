//! Number formats as of Oracle: `$99,999.99S`. They read numbers (`to_number`) and write them (`to_char`).

use firesteel_plan::SparkError;

use crate::errors;

#[derive(Debug, Clone, PartialEq)]
enum Digits {
    /// `0…`
    Exactly(usize),
    /// `9…`
    AtMost(usize),
    Separator,
}

impl Digits {
    fn count(&self) -> usize {
        match self {
            Self::Exactly(n) | Self::AtMost(n) => *n,
            Self::Separator => 0,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Group(Vec<Digits>),
    Point,
    Dollar,
    /// `S`
    Sign,
    /// `MI`
    Minus,
    Open,
    Close,
    Unknown(char),
}

#[derive(Debug, Clone)]
pub(super) struct NumberFormat {
    tokens: Vec<Token>,
    width: usize,
    pub before: usize,
    pub after: usize,
}

fn push_digits(tokens: &mut Vec<Token>, digits: Digits) {
    match tokens.last_mut() {
        Some(Token::Group(group)) => group.push(digits),
        _ => tokens.push(Token::Group(vec![digits])),
    }
}

impl NumberFormat {
    /// A valid format, or what is wrong with it.
    pub(super) fn parse(given: &str) -> Result<Self, SparkError> {
        let text = given.to_uppercase();
        let chars: Vec<char> = text.chars().collect();
        let (mut tokens, mut at, mut fraction) = (Vec::new(), 0, false);
        while at < chars.len() {
            let next = chars.get(at + 1).copied();
            let mut used = 1;
            match chars[at] {
                first @ ('0' | '9') => {
                    used = chars[at..].iter().take_while(|c| matches!(c, '0' | '9')).count();
                    let exact = first == '0' && !fraction;
                    push_digits(&mut tokens, if exact { Digits::Exactly(used) } else { Digits::AtMost(used) });
                }
                '.' | 'D' => {
                    tokens.push(Token::Point);
                    fraction = true;
                }
                ',' | 'G' => push_digits(&mut tokens, Digits::Separator),
                '$' => tokens.push(Token::Dollar),
                'S' => tokens.push(Token::Sign),
                'M' if next == Some('I') => {
                    tokens.push(Token::Minus);
                    used = 2;
                }
                'P' if next == Some('R') => {
                    tokens.insert(0, Token::Open);
                    tokens.push(Token::Close);
                    used = 2;
                }
                other => tokens.push(Token::Unknown(other)),
            }
            at += used;
        }
        let mut format = Self { tokens, width: chars.len(), before: 0, after: 0 };
        format.check(given)?;
        let mut fraction = false;
        for token in &format.tokens {
            match token {
                Token::Point => fraction = true,
                Token::Group(group) => {
                    let count: usize = group.iter().map(Digits::count).sum();
                    *(if fraction { &mut format.after } else { &mut format.before }) += count;
                }
                _ => {}
            }
        }
        Ok(format)
    }

    fn check(&self, given: &str) -> Result<(), SparkError> {
        let wrong = |subclass: &str, why: String| Err(invalid(subclass, given, why));
        let shown = given.to_uppercase();
        if shown.is_empty() {
            return wrong("EMPTY", "The number format string cannot be empty.".to_owned());
        }
        let tokens = &self.tokens;
        let first = |wanted: &dyn Fn(&Token) -> bool| tokens.iter().position(wanted);
        let digit = first(&|t| matches!(t, Token::Group(g) if g.iter().any(|d| *d != Digits::Separator)));
        let Some(digit) = digit else {
            return wrong("WRONG_NUM_DIGIT", "The format string requires at least one number digit.".to_owned());
        };
        let point = first(&|t| *t == Token::Point);
        if let Some(dollar) = first(&|t| *t == Token::Dollar) {
            if digit < dollar {
                return wrong("CUR_MUST_BEFORE_DIGIT", "Currency characters must appear before digits.".to_owned());
            }
            if point.is_some_and(|p| p < dollar) {
                let why = "Currency characters must appear before any decimal point in the number format.";
                return wrong("CUR_MUST_BEFORE_DEC", why.to_owned());
            }
        }
        for (i, token) in tokens.iter().enumerate() {
            let Token::Group(group) = token else { continue };
            let separates = |j: usize| group.get(j) == Some(&Digits::Separator);
            if point.is_none_or(|p| i < p) {
                let lonely = (0..group.len())
                    .any(|j| separates(j) && (j == 0 || j + 1 == group.len() || separates(j - 1) || separates(j + 1)));
                if lonely {
                    let why = "Thousands separators (, or G) must have digits in between them in the number format.";
                    return wrong("CONT_THOUSANDS_SEPS", why.to_owned());
                }
            } else if (0..group.len()).any(separates) {
                let why = "Thousands separators (, or G) may not appear after the decimal point in the number format.";
                return wrong("THOUSANDS_SEPS_MUST_BEFORE_DEC", why.to_owned());
            }
        }
        for (token, text) in [
            (Token::Point, ". or D"),
            (Token::Sign, "S"),
            (Token::Minus, "MI"),
            (Token::Dollar, "$"),
            (Token::Close, "PR"),
        ] {
            if tokens.iter().filter(|t| **t == token).count() > 1 {
                return wrong("WRONG_NUM_TOKEN", format!("At most one {text} is allowed in the number format."))
                    .map_err(|e| e.param("token", text));
            }
        }
        self.check_order(given)
    }

    /// `[MI|S] [$] digits [. digits] [$] [PR|MI|S]`
    fn check_order(&self, given: &str) -> Result<(), SparkError> {
        type Fits = fn(&Token) -> bool;
        const ORDER: [Fits; 8] = [
            |t| *t == Token::Open,
            |t| matches!(t, Token::Minus | Token::Sign),
            |t| *t == Token::Dollar,
            |t| matches!(t, Token::Group(_)),
            |t| *t == Token::Point,
            |t| matches!(t, Token::Group(_)),
            |t| *t == Token::Dollar,
            |t| matches!(t, Token::Minus | Token::Sign | Token::Close),
        ];
        let mut at = 0;
        for fits in ORDER {
            if self.tokens.get(at).is_some_and(fits) {
                at += 1;
            }
        }
        let Some(token) = self.tokens.get(at) else { return Ok(()) };
        let found = match token {
            Token::Unknown(c) => format!("character '{c}'"),
            Token::Group(_) => "digit sequence".to_owned(),
            Token::Point => ". or D".to_owned(),
            Token::Dollar => "$".to_owned(),
            Token::Sign => "S".to_owned(),
            Token::Minus => "MI".to_owned(),
            Token::Open | Token::Close => "PR".to_owned(),
        };
        let structure = "[MI|S] [$] [0|9|G|,]* [.|D] [0|9]* [$] [PR|MI|S]";
        let why = format!(
            "Unexpected {found} found in the format string; the structure of the format string must match: {structure}."
        );
        Err(invalid("UNEXPECTED_TOKEN", given, why).param("token", found).param("structure", structure))
    }

    /// Unscaled, with the format's digits after the point. Nothing where the text has not this form.
    pub(super) fn read(&self, text: &str) -> Option<i128> {
        let chars: Vec<char> = text.chars().collect();
        let (mut before, mut after) = (String::new(), String::new());
        let (mut at, mut fraction, mut negative) = (0, false, false);
        let is = |at: usize, c: char| chars.get(at) == Some(&c);
        for token in &self.tokens {
            match token {
                Token::Group(group) => {
                    let into = if fraction { &mut after } else { &mut before };
                    at = read_group(group, &chars, at, into)?;
                }
                Token::Point => {
                    if is(at, '.') {
                        fraction = true;
                        at += 1;
                    }
                }
                Token::Dollar => {
                    if !is(at, '$') {
                        return None;
                    }
                    at += 1;
                }
                Token::Open => at += usize::from(is(at, '<')),
                Token::Close if is(at, '>') => {
                    negative = !negative;
                    at += 1;
                }
                Token::Close => {}
                Token::Sign | Token::Minus => {
                    if is(at, '-') {
                        negative = !negative;
                        at += 1;
                    } else if *token == Token::Sign && is(at, '+') {
                        at += 1;
                    }
                }
                Token::Unknown(_) => return None,
            }
        }
        if at < chars.len() {
            return None;
        }
        if before.is_empty() && after.is_empty() {
            return None;
        }
        while after.len() < self.after {
            after.push('0');
        }
        before.push_str(&after);
        let value: i128 = before.parse().ok()?;
        Some(if negative { -value } else { value })
    }

    /// The number with the format's width; `#` for its digits where it has more of them than the format.
    pub(super) fn write(&self, unscaled: i128, scale: i8, out: &mut String) {
        let negative = unscaled < 0;
        let mut plain = String::new();
        crate::numeric::decimal::write_decimal(&mut plain, unscaled.saturating_abs(), scale);
        let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let too_long = whole.len() > self.before || fraction.len() > self.after;
        let mut written = Written { text: Vec::with_capacity(self.width + 2) };
        let mut whole_digits = std::iter::repeat_n('0', self.before.saturating_sub(whole.len())).chain(whole.chars());
        let mut fraction_digits = fraction.chars();
        let mut in_fraction = false;
        let mut started = too_long;
        for token in &self.tokens {
            match token {
                Token::Group(group) => {
                    for digits in group {
                        match digits {
                            Digits::Separator if started => written.text.push(','),
                            Digits::Separator => written.space(),
                            _ if too_long => written.text.extend(std::iter::repeat_n('#', digits.count())),
                            _ if in_fraction => {
                                for _ in 0..digits.count() {
                                    written.text.push(fraction_digits.next().unwrap_or('0'));
                                }
                            }
                            _ => {
                                for _ in 0..digits.count() {
                                    let digit = whole_digits.next().unwrap_or('0');
                                    started |= digit != '0' || matches!(digits, Digits::Exactly(_));
                                    if started { written.text.push(digit) } else { written.space() }
                                }
                            }
                        }
                    }
                }
                Token::Point => {
                    // Without a whole part a zero stands before the point.
                    if let Some(last) = written.text.last_mut()
                        && *last == ' '
                    {
                        *last = '0';
                    }
                    written.text.push('.');
                    in_fraction = true;
                }
                Token::Dollar => written.text.push('$'),
                Token::Sign => written.sign(if negative { '-' } else { '+' }),
                Token::Minus if negative => written.sign('-'),
                Token::Open if negative => written.sign('<'),
                Token::Close if negative => written.sign('>'),
                Token::Minus => {
                    written.strip_point();
                    written.text.push(' ');
                }
                Token::Close => {
                    written.strip_point();
                    written.text.push(' ');
                    written.text.push(' ');
                }
                Token::Open | Token::Unknown(_) => {}
            }
        }
        written.strip_point();
        out.extend(written.text);
    }
}

struct Written {
    text: Vec<char>,
}

impl Written {
    /// A blank goes before signs that stand at the end: they belong to the first digit.
    fn space(&mut self) {
        let at = self.text.iter().rposition(|c| !matches!(c, '-' | '+' | '<')).map_or(0, |i| i + 1);
        self.text.insert(at, ' ');
    }

    /// A sign at the end goes before blanks that stand there.
    fn sign(&mut self, c: char) {
        self.strip_point();
        let at = self.text.iter().rposition(|c| *c != ' ').map_or(self.text.len(), |i| i + 1);
        self.text.insert(at, c);
    }

    /// A point without digits behind it is not shown.
    fn strip_point(&mut self) {
        if let Some(at) = self.text.iter().position(|c| *c == '.')
            && self.text.get(at + 1).is_none_or(|c| *c == ' ')
        {
            self.text[at] = ' ';
        }
    }
}

/// Digits of groups that separators part; groups are compared from the last on. Answers where reading goes on.
fn read_group(group: &[Digits], chars: &[char], start: usize, into: &mut String) -> Option<usize> {
    let (mut at, mut sizes, mut size) = (start, Vec::new(), 0);
    while let Some(c) = chars.get(at) {
        match c {
            c if c.is_whitespace() => {}
            '0'..='9' => {
                size += 1;
                into.push(*c);
            }
            ',' => {
                sizes.push(size);
                size = 0;
            }
            _ => break,
        }
        at += 1;
    }
    sizes.push(size);
    let expected: Vec<&Digits> = group.iter().rev().filter(|d| **d != Digits::Separator).collect();
    if sizes.len() > expected.len() {
        return None;
    }
    let mut sizes = sizes.iter().rev();
    for digits in expected {
        let given = sizes.next().copied().unwrap_or(0);
        let fits = match digits {
            Digits::Exactly(n) => given == *n,
            Digits::AtMost(n) => given <= *n,
            Digits::Separator => true,
        };
        if !fits {
            return None;
        }
    }
    Some(at)
}

fn invalid(subclass: &str, format: &str, why: String) -> SparkError {
    SparkError::new(format!("INVALID_FORMAT.{subclass}"), "42601", format!("The format is invalid: '{format}'. {why}"))
        .param("format", format!("'{format}'"))
}

/// The text has not the form of the format.
pub(super) fn mismatch(text: &str, format: &str, from: &firesteel_plan::DataType) -> SparkError {
    let shown = format!("\"{}\"", errors::sql_type(from));
    SparkError::new(
        "INVALID_FORMAT.MISMATCH_INPUT",
        "42601",
        format!("The format is invalid: {format}. The input {shown} {text} does not match the format."),
    )
    .param("format", format)
    .param("inputType", shown)
    .param("input", text)
}
