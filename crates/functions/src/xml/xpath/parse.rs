//! The grammar of XPath 1.0.

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Number(f64),
    Text(String),
    Binary(Operator, Box<Expr>, Box<Expr>),
    Negative(Box<Expr>),
    Union(Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
    /// Steps from the root, from the node at hand, or from what an expression answers.
    Path {
        start: Start,
        steps: Vec<Step>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Start {
    Root,
    Here,
    Of(Box<Expr>, Vec<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub axis: Axis,
    pub test: Test,
    pub predicates: Vec<Expr>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Axis {
    Child,
    Attribute,
    Descendant,
    DescendantOrSelf,
    Itself,
    Parent,
    Ancestor,
    AncestorOrSelf,
    FollowingSibling,
    PrecedingSibling,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    Name(String),
    Any,
    Node,
    Text,
    Comment,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Text(String),
    Name(String),
    Symbol(&'static str),
}

const SYMBOLS: [&str; 22] = [
    "::", "//", "..", "!=", "<=", ">=", "(", ")", "[", "]", ".", "@", ",", "/", "|", "+", "-", "=", "<", ">", "*", "$",
];
/// How deep expressions may be inside of each other.
const MAX_DEPTH: usize = 100;

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let digits = |t: &str| t.find(|c: char| !c.is_ascii_digit()).unwrap_or(t.len());
        if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            let mut end = digits(rest);
            if rest[end..].starts_with('.') {
                end += 1 + digits(&rest[end + 1..]);
            }
            all.push(Token::Number(rest[..end].parse().map_err(|_| format!("no number: {}", &rest[..end]))?));
            rest = &rest[end..];
        } else if first == '"' || first == '\'' {
            let Some(end) = rest[1..].find(first) else { return Err("a text without its end".to_owned()) };
            all.push(Token::Text(rest[1..=end].to_owned()));
            rest = &rest[end + 2..];
        } else if first.is_alphabetic() || first == '_' {
            let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
            let mut end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            // A prefix belongs to the name, an axis does not.
            if rest[end..].starts_with(':') && !rest[end..].starts_with("::") {
                let local = &rest[end + 1..];
                let length =
                    if local.starts_with('*') { 1 } else { local.find(|c| !is_name(c)).unwrap_or(local.len()) };
                end += 1 + length;
            }
            all.push(Token::Name(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            let Some(symbol) = SYMBOLS.iter().find(|s| rest.starts_with(**s)) else {
                return Err(format!("unexpected {first:?}"));
            };
            all.push(Token::Symbol(symbol));
            rest = &rest[symbol.len()..];
        }
        rest = rest.trim_start();
    }
    Ok(all)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

pub(super) fn parse(text: &str) -> Result<Expr, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let expr = parser.binary(0)?;
    if parser.at < parser.tokens.len() {
        return Err(format!("Extra illegal tokens: {:?}", parser.tokens[parser.at]));
    }
    Ok(expr)
}

/// Operators by how tightly they bind, loosest first; the names stand between operands only.
const LEVELS: [&[(&str, Operator)]; 6] = [
    &[("or", Operator::Or)],
    &[("and", Operator::And)],
    &[("=", Operator::Equal), ("!=", Operator::NotEqual)],
    &[("<=", Operator::LessOrEqual), (">=", Operator::GreaterOrEqual), ("<", Operator::Less), (">", Operator::Greater)],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("div", Operator::Divide), ("mod", Operator::Remainder)],
];

impl Parser {
    fn is(&self, symbol: &str) -> bool {
        matches!(self.tokens.get(self.at), Some(Token::Symbol(s)) if *s == symbol)
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), String> {
        if self.eat(symbol) {
            return Ok(());
        }
        Err(match self.tokens.get(self.at) {
            Some(token) => format!("Expected {symbol}, but found: {token:?}"),
            None => format!("Expected {symbol}"),
        })
    }

    fn binary(&mut self, level: usize) -> Result<Expr, String> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        self.depth += 1;
        if self.depth > MAX_DEPTH * LEVELS.len() {
            return Err("the expression is too deep".to_owned());
        }
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = self.operator(operators) {
            let right = self.binary(level + 1)?;
            left = Expr::Binary(operator, Box::new(left), Box::new(right));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operator(&mut self, operators: &[(&str, Operator)]) -> Option<Operator> {
        let text = match self.tokens.get(self.at)? {
            Token::Symbol(s) => s,
            Token::Name(n) => n.as_str(),
            _ => return None,
        };
        let (_, operator) = operators.iter().find(|(t, _)| *t == text)?;
        self.at += 1;
        Some(*operator)
    }

    fn unary(&mut self) -> Result<Expr, String> {
        if self.eat("-") {
            self.depth += 1;
            if self.depth > MAX_DEPTH * LEVELS.len() {
                return Err("the expression is too deep".to_owned());
            }
            let operand = self.unary()?;
            self.depth -= 1;
            return Ok(Expr::Negative(Box::new(operand)));
        }
        let mut left = self.path()?;
        while self.eat("|") {
            let right = self.path()?;
            left = Expr::Union(Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn path(&mut self) -> Result<Expr, String> {
        let filtered = match self.tokens.get(self.at) {
            Some(Token::Number(v)) => {
                let v = *v;
                self.at += 1;
                Some(Expr::Number(v))
            }
            Some(Token::Text(t)) => {
                let t = t.clone();
                self.at += 1;
                Some(Expr::Text(t))
            }
            Some(Token::Symbol("(")) => {
                self.at += 1;
                let inner = self.binary(0)?;
                self.expect(")")?;
                Some(inner)
            }
            Some(Token::Name(name))
                if matches!(self.tokens.get(self.at + 1), Some(Token::Symbol("(")))
                    && !matches!(name.as_str(), "text" | "node" | "comment" | "processing-instruction") =>
            {
                let name = name.clone();
                self.at += 2;
                let mut args = Vec::new();
                while !self.eat(")") {
                    if !args.is_empty() {
                        self.expect(",")?;
                    }
                    args.push(self.binary(0)?);
                }
                Some(Expr::Call(name, args))
            }
            _ => None,
        };
        let mut steps = Vec::new();
        let start = match filtered {
            Some(expr) => {
                let predicates = self.predicates()?;
                if predicates.is_empty() && !self.is("/") && !self.is("//") {
                    return Ok(expr);
                }
                Start::Of(Box::new(expr), predicates)
            }
            None if self.is("/") || self.is("//") => Start::Root,
            None => {
                steps.push(self.step()?);
                Start::Here
            }
        };
        loop {
            if self.eat("//") {
                steps.push(Step { axis: Axis::DescendantOrSelf, test: Test::Node, predicates: Vec::new() });
                steps.push(self.step()?);
            } else if self.eat("/") {
                // `/` alone is the root.
                if start == Start::Root && steps.is_empty() && !self.at_step() {
                    break;
                }
                steps.push(self.step()?);
            } else {
                break;
            }
        }
        Ok(Expr::Path { start, steps })
    }

    fn at_step(&self) -> bool {
        matches!(self.tokens.get(self.at), Some(Token::Name(_) | Token::Symbol("." | ".." | "@" | "*")))
    }

    fn predicates(&mut self) -> Result<Vec<Expr>, String> {
        let mut all = Vec::new();
        while self.eat("[") {
            all.push(self.binary(0)?);
            self.expect("]")?;
        }
        Ok(all)
    }

    fn step(&mut self) -> Result<Step, String> {
        if self.eat("..") {
            return Ok(Step { axis: Axis::Parent, test: Test::Node, predicates: Vec::new() });
        }
        if self.eat(".") {
            return Ok(Step { axis: Axis::Itself, test: Test::Node, predicates: Vec::new() });
        }
        let mut axis = if self.eat("@") { Axis::Attribute } else { Axis::Child };
        if let (Some(Token::Name(name)), Some(Token::Symbol("::"))) =
            (self.tokens.get(self.at), self.tokens.get(self.at + 1))
        {
            axis = match name.as_str() {
                "child" => Axis::Child,
                "attribute" => Axis::Attribute,
                "descendant" => Axis::Descendant,
                "descendant-or-self" => Axis::DescendantOrSelf,
                "self" => Axis::Itself,
                "parent" => Axis::Parent,
                "ancestor" => Axis::Ancestor,
                "ancestor-or-self" => Axis::AncestorOrSelf,
                "following-sibling" => Axis::FollowingSibling,
                "preceding-sibling" => Axis::PrecedingSibling,
                other => return Err(format!("unknown axis: {other}")),
            };
            self.at += 2;
        }
        let test = if self.eat("*") {
            Test::Any
        } else {
            let Some(Token::Name(name)) = self.tokens.get(self.at).cloned() else {
                return Err("A location step was expected following the '/' or '//' token.".to_owned());
            };
            self.at += 1;
            if self.eat("(") {
                self.expect(")")?;
                match name.as_str() {
                    "text" => Test::Text,
                    "node" => Test::Node,
                    "comment" => Test::Comment,
                    other => return Err(format!("unknown nodetype: {other}")),
                }
            } else {
                Test::Name(name)
            }
        };
        Ok(Step { axis, test, predicates: self.predicates()? })
    }
}
