//! The parser's place in the tokens, and the small steps everything else is made of.

use std::collections::BTreeMap;

use firesteel_plan::{Span, SparkError, SparkResult, expr::Parameter, statement::DeferredClause};

use crate::{
    ParseOptions, error,
    keyword::Keyword,
    lexer::{Symbol, Token, TokenKind},
    statement::OpenLabel,
};

/// Deepest nesting of parentheses, subqueries, types and operators that is accepted. What is deeper is refused, so that
/// neither the parser nor anything that walks its result can run out of stack.
pub const MAX_DEPTH: usize = 1000;

/// Stack that one level of nesting may need, and the size of a further piece of stack taken when less is left.
const RED_ZONE: usize = 128 * 1024;
const STACK_PIECE: usize = 2 * 1024 * 1024;

const END: Token = Token { kind: TokenKind::End, start: u32::MAX, end: u32::MAX, closes_at: 0 };

pub struct Parser<'a> {
    pub text: &'a str,
    pub tokens: &'a [Token],
    pub at: usize,
    pub options: &'a ParseOptions,
    /// Number of `?` so far.
    pub positional_parameters: usize,
    /// What must have a value before the statement has all its words.
    pub deferred: Vec<DeferredClause>,
    /// Where parameters stand, by their start.
    pub parameters: BTreeMap<u32, (Span, Parameter)>,
    /// Scripts around the present place: a semicolon ends a statement in them.
    pub script_depth: usize,
    /// Queries of FOR loops around the present place.
    pub for_queries: usize,
    /// Above zero, a query in parentheses stands behind the expression that is read.
    pub before_query: usize,
    pub labels: Vec<OpenLabel>,
    depth: usize,
    /// An upper bound of the height of what was built at the present level so far.
    height: usize,
}

pub struct Mark {
    at: usize,
    positional_parameters: usize,
    deferred: usize,
}

impl<'a> Parser<'a> {
    /// `tokens` ends with `End`.
    pub fn new(text: &'a str, tokens: &'a [Token], options: &'a ParseOptions) -> Self {
        Self {
            text,
            tokens,
            at: 0,
            options,
            positional_parameters: 0,
            deferred: Vec::new(),
            parameters: BTreeMap::new(),
            script_depth: 0,
            for_queries: 0,
            before_query: 0,
            labels: Vec::new(),
            depth: 0,
            height: 0,
        }
    }

    /// Where the parser is, to come back to.
    pub fn mark(&self) -> Mark {
        Mark { at: self.at, positional_parameters: self.positional_parameters, deferred: self.deferred.len() }
    }

    /// Back to the mark; what was read since is forgotten.
    pub fn rewind(&mut self, mark: &Mark) {
        self.at = mark.at;
        self.positional_parameters = mark.positional_parameters;
        self.deferred.truncate(mark.deferred);
    }

    // ---- looking

    pub fn token(&self, ahead: usize) -> Token {
        // The last token is the end, so one look past it is the end as well.
        self.tokens.get(self.at + ahead).or(self.tokens.last()).copied().unwrap_or(END)
    }

    pub fn kind(&self) -> TokenKind {
        self.token(0).kind
    }

    pub fn kind_at(&self, ahead: usize) -> TokenKind {
        self.token(ahead).kind
    }

    pub fn keyword(&self) -> Option<Keyword> {
        self.keyword_at(0)
    }

    pub fn keyword_at(&self, ahead: usize) -> Option<Keyword> {
        match self.kind_at(ahead) {
            TokenKind::Keyword(keyword) => Some(keyword),
            _ => None,
        }
    }

    pub fn is(&self, keyword: Keyword) -> bool {
        self.is_at(0, keyword)
    }

    pub fn is_at(&self, ahead: usize, keyword: Keyword) -> bool {
        self.kind_at(ahead) == TokenKind::Keyword(keyword)
    }

    pub fn is_any(&self, keywords: &[Keyword]) -> bool {
        self.is_any_at(0, keywords)
    }

    pub fn is_any_at(&self, ahead: usize, keywords: &[Keyword]) -> bool {
        self.keyword_at(ahead).is_some_and(|k| keywords.contains(&k))
    }

    /// Whether the next tokens are these keywords.
    pub fn are(&self, keywords: &[Keyword]) -> bool {
        keywords.iter().enumerate().all(|(i, k)| self.is_at(i, *k))
    }

    pub fn is_symbol(&self, symbol: Symbol) -> bool {
        self.is_symbol_at(0, symbol)
    }

    pub fn is_symbol_at(&self, ahead: usize, symbol: Symbol) -> bool {
        self.kind_at(ahead) == TokenKind::Symbol(symbol)
    }

    pub fn is_end(&self) -> bool {
        self.kind() == TokenKind::End
    }

    /// How far ahead the token after the parenthesis is that closes the one `ahead`.
    pub fn after_paren(&self, ahead: usize) -> usize {
        (self.token(ahead).closes_at as usize).saturating_sub(self.at) + 1
    }

    pub fn token_text(&self, token: Token) -> &'a str {
        self.text.get(token.start as usize..token.end as usize).unwrap_or_default()
    }

    // ---- stepping

    pub fn advance(&mut self) -> Token {
        let token = self.token(0);
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    pub fn eat(&mut self, keyword: Keyword) -> bool {
        let found = self.is(keyword);
        if found {
            self.advance();
        }
        found
    }

    pub fn eat_any(&mut self, keywords: &[Keyword]) -> Option<Keyword> {
        let keyword = self.keyword().filter(|k| keywords.contains(k))?;
        self.advance();
        Some(keyword)
    }

    /// All of `keywords` in a row, or none.
    pub fn eat_all(&mut self, keywords: &[Keyword]) -> bool {
        let found = self.are(keywords);
        if found {
            self.at += keywords.len();
        }
        found
    }

    pub fn expect(&mut self, keyword: Keyword) -> SparkResult<()> {
        if self.eat(keyword) { Ok(()) } else { Err(self.unexpected_before(TokenKind::Keyword(keyword))) }
    }

    pub fn expect_all(&mut self, keywords: &[Keyword]) -> SparkResult<()> {
        keywords.iter().try_for_each(|k| self.expect(*k))
    }

    pub fn eat_symbol(&mut self, symbol: Symbol) -> bool {
        let found = self.is_symbol(symbol);
        if found {
            self.advance();
        }
        found
    }

    pub fn expect_symbol(&mut self, symbol: Symbol) -> SparkResult<()> {
        if self.eat_symbol(symbol) { Ok(()) } else { Err(self.unexpected_before(TokenKind::Symbol(symbol))) }
    }

    pub fn expect_end(&self) -> SparkResult<()> {
        if self.is_end() { Ok(()) } else { Err(self.unexpected_before(TokenKind::End)) }
    }

    /// `item, item, …`
    pub fn comma_separated<T>(&mut self, mut item: impl FnMut(&mut Self) -> SparkResult<T>) -> SparkResult<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.eat_symbol(Symbol::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `(item, item, …)` with one item at least.
    pub fn parenthesized<T>(&mut self, item: impl FnMut(&mut Self) -> SparkResult<T>) -> SparkResult<Vec<T>> {
        self.expect_symbol(Symbol::OpenParen)?;
        let items = self.comma_separated(item)?;
        self.expect_symbol(Symbol::CloseParen)?;
        Ok(items)
    }

    // ---- places and errors

    /// Where the next token starts.
    pub fn start(&self) -> usize {
        self.token(0).start as usize
    }

    /// From `start` to the end of the token before the next.
    pub fn span_from(&self, start: usize) -> Span {
        let end = self.at.checked_sub(1).and_then(|i| self.tokens.get(i)).map_or(start, |t| t.end as usize);
        Span::new(start, end.max(start))
    }

    pub fn text_from(&self, start: usize) -> &'a str {
        let span = self.span_from(start);
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// A syntax error at the next token.
    pub fn unexpected(&self) -> SparkError {
        self.unexpected_at(0)
    }

    pub fn unexpected_at(&self, ahead: usize) -> SparkError {
        let token = self.token(ahead);
        self.error_at(error::syntax(self.shown(token)), Span { start: token.start, end: token.end })
    }

    /// A syntax error at the next token where `wanted` should stand; if that follows, the token is one too many.
    fn unexpected_before(&self, wanted: TokenKind) -> SparkError {
        let token = self.token(0);
        if token.kind == TokenKind::End || self.kind_at(1) != wanted {
            return self.unexpected();
        }
        let span = Span { start: token.start, end: token.end };
        self.error_at(error::extra_input(self.shown(token)), span)
    }

    fn shown(&self, token: Token) -> &str {
        let text = self.token_text(token);
        match token.kind {
            TokenKind::End => "",
            // The mark before the text is a token of its own in Spark.
            TokenKind::DollarQuoted => &text[..text[1..].find('$').map_or(text.len(), |at| at + 2)],
            _ => text,
        }
    }

    pub fn error_at(&self, error: SparkError, span: Span) -> SparkError {
        error::located(error, self.text, span)
    }

    /// The error with what was read since `start` as its place.
    pub fn error_from(&self, error: SparkError, start: usize) -> SparkError {
        self.error_at(error, self.span_from(start))
    }

    /// The error with the statement up to here as its place.
    pub fn error_of_statement(&self, error: SparkError) -> SparkError {
        self.error_from(error, self.tokens.first().map_or(0, |t| t.start as usize))
    }

    // ---- depth

    /// Runs one level deeper of nesting.
    pub fn nested<T>(&mut self, level: impl FnOnce(&mut Self) -> SparkResult<T>) -> SparkResult<T> {
        if self.depth >= MAX_DEPTH {
            return Err(self.too_complex());
        }
        self.depth += 1;
        let siblings = std::mem::take(&mut self.height);
        let result = stacker::maybe_grow(RED_ZONE, STACK_PIECE, || level(self));
        self.depth -= 1;
        self.height = siblings.max(self.height + 1);
        let result = result?;
        if self.height > MAX_DEPTH { Err(self.too_complex()) } else { Ok(result) }
    }

    /// Counts one more operator on top of all that was built at this level, as in `a + b + c`.
    pub fn grow(&mut self) -> SparkResult<()> {
        self.height += 1;
        if self.height > MAX_DEPTH { Err(self.too_complex()) } else { Ok(()) }
    }

    /// Reads what stands beside what was read at this level, not on top of it.
    pub fn beside<T>(&mut self, sibling: impl FnOnce(&mut Self) -> SparkResult<T>) -> SparkResult<T> {
        let siblings = std::mem::take(&mut self.height);
        let result = sibling(self);
        self.height = self.height.max(siblings);
        result
    }

    fn too_complex(&self) -> SparkError {
        let token = self.token(0);
        self.error_at(error::too_complex(), Span { start: token.start, end: token.end })
    }
}
