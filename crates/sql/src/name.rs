//! Names: identifiers, names of several parts, and which words may stand as an alias without AS.

use firesteel_plan::{Ident, SparkResult, expr::MultipartName};

use crate::{
    cursor::Parser,
    error,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
};

/// Where an alias without AS is looked for; it decides which words end the item instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AliasOf {
    Column,
    Table,
}

impl Parser<'_> {
    /// Whether the next token can be a name: any word, keyword or quoted name.
    pub fn is_name(&self) -> bool {
        self.is_name_at(0)
    }

    pub fn is_name_at(&self, ahead: usize) -> bool {
        match self.kind_at(ahead) {
            TokenKind::Word | TokenKind::QuotedName => true,
            TokenKind::Keyword(keyword) => !(self.options.reserved_keywords && keyword.is_reserved()),
            TokenKind::DoubleQuoted => self.options.double_quoted_identifiers,
            _ => false,
        }
    }

    pub fn identifier(&mut self) -> SparkResult<Ident> {
        if !self.is_name() {
            return Err(self.unexpected());
        }
        if self.is_identifier_clause() {
            let start = self.start();
            let mut parts = self.identifier_clause()?;
            if parts.len() > 1 {
                return Err(self.error_from(error::too_many_name_parts(&parts, 1), start));
            }
            return Ok(parts.pop().unwrap_or_default());
        }
        let token = self.advance();
        let text = self.token_text(token);
        match token.kind {
            TokenKind::QuotedName => Ok(text[1..text.len() - 1].replace("``", "`")),
            TokenKind::DoubleQuoted => Ok(text[1..text.len() - 1].replace("\"\"", "\"")),
            TokenKind::Word if text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => Ok(text.to_owned()),
            TokenKind::Keyword(_) => Ok(text.to_owned()),
            _ => Err(self.error_from(error::invalid_identifier(text), token.start as usize)),
        }
    }

    /// A word or a quoted name; never the name that IDENTIFIER('name') gives.
    pub fn simple_identifier(&mut self) -> SparkResult<Ident> {
        if self.is_identifier_clause() {
            return Err(self.unexpected_at(1));
        }
        self.identifier()
    }

    /// An identifier where no expression can follow, so that `test-table` is an identifier that lacks its quotes.
    pub fn plain_identifier(&mut self) -> SparkResult<Ident> {
        let start = self.start();
        let ident = self.identifier()?;
        if !(self.is_symbol(S::Minus) && self.is_name_at(1)) {
            return Ok(ident);
        }
        let minus = self.start();
        while self.is_symbol(S::Minus) && self.is_name_at(1) {
            self.at += 2;
        }
        let whole = self.text_from(start).to_owned();
        Err(self.error_from(error::invalid_identifier(&whole), minus))
    }

    /// `IDENTIFIER('name')`: the name that the text spells.
    pub(crate) fn is_identifier_clause(&self) -> bool {
        self.is(K::IDENTIFIER)
            && self.is_symbol_at(1, S::OpenParen)
            && matches!(self.kind_at(2), TokenKind::String | TokenKind::DoubleQuoted | TokenKind::RawString)
            && self.is_symbol_at(3, S::CloseParen)
    }

    /// `a`, `a.b`, `a.b.c` …
    pub fn multipart_name(&mut self) -> SparkResult<MultipartName> {
        let mut parts = Vec::with_capacity(1);
        loop {
            if self.is_identifier_clause() {
                parts.extend(self.identifier_clause()?);
            } else {
                parts.push(self.plain_identifier()?);
            }
            if !self.eat_symbol(S::Dot) {
                return Ok(parts);
            }
        }
    }

    /// `(a, b, …)`
    pub fn identifier_list(&mut self) -> SparkResult<Vec<Ident>> {
        self.parenthesized(Self::plain_identifier)
    }

    /// Whether the token `ahead` can begin an expression.
    pub fn starts_operand(&self, ahead: usize) -> bool {
        match self.kind_at(ahead) {
            TokenKind::Keyword(_) => !self.starts_clause(ahead, AliasOf::Column),
            TokenKind::Symbol(symbol) => matches!(
                symbol,
                S::OpenParen | S::Plus | S::Minus | S::Tilde | S::Asterisk | S::Bang | S::Colon | S::Question
            ),
            TokenKind::End | TokenKind::Unrecognized => false,
            _ => true,
        }
    }

    /// Whether the token `ahead` begins the clause that follows a column or a table, rather than being its alias. Every
    /// keyword may be an alias, so what follows it decides.
    pub fn starts_clause(&self, ahead: usize, after: AliasOf) -> bool {
        let Some(keyword) = self.keyword_at(ahead) else { return false };
        let next = ahead + 1;
        let is_next = |keywords: &[K]| self.is_any_at(next, keywords);
        let paren_next = self.is_symbol_at(next, S::OpenParen);
        match keyword {
            K::FROM => self.starts_relation(next),
            K::WHERE | K::HAVING | K::QUALIFY | K::LIMIT | K::OFFSET => self.starts_operand(next),
            K::GROUP | K::ORDER | K::CLUSTER | K::DISTRIBUTE | K::SORT => {
                is_next(&[K::BY]) && self.kind_at(next + 1) != TokenKind::End
            }
            K::DO => self.for_queries > 0,
            K::WINDOW => {
                self.is_name_at(next)
                    && (self.is_at(next + 1, K::AS)
                        || self.is_at(next, K::IDENTIFIER) && self.is_symbol_at(next + 1, S::OpenParen))
            }
            K::LATERAL => is_next(&[K::VIEW]) || after == AliasOf::Table,
            _ if after == AliasOf::Table && keyword.joins_relations() => true,
            K::UNION | K::EXCEPT | K::INTERSECT | K::MINUS => {
                paren_next
                    || is_next(&[K::SELECT, K::ALL, K::DISTINCT, K::FROM, K::TABLE, K::VALUES, K::MAP, K::REDUCE])
            }
            K::FOR if is_next(&[K::READ]) && self.is_at(next + 1, K::ONLY) => true,
            K::FOR if after == AliasOf::Column => self.for_in(next),
            K::FOR => is_next(&[K::SYSTEM_VERSION, K::VERSION, K::SYSTEM_TIME, K::TIMESTAMP]),
            K::SELECT | K::MAP | K::REDUCE if after == AliasOf::Table || keyword == K::SELECT => {
                self.starts_operand(next)
            }
            K::INSERT => is_next(&[K::INTO, K::OVERWRITE]) || after == AliasOf::Table && is_next(&[K::WITH]),
            K::WITH if is_next(&[K::CUBE, K::ROLLUP]) => true,
            K::GROUPING => is_next(&[K::SETS]) && self.is_symbol_at(next + 1, S::OpenParen),
            _ if after == AliasOf::Column => false,
            K::UNPIVOT => paren_next || is_next(&[K::INCLUDE, K::EXCLUDE]),
            K::PIVOT => paren_next,
            K::TABLESAMPLE => self.starts_sample(ahead),
            K::APPROX | K::EXACT => is_next(&[K::NEAREST]),
            K::WATERMARK => self.is_name_at(next),
            K::CHANGES => is_next(&[K::FROM]),
            K::IDENTIFIED => is_next(&[K::BY]),
            K::SET | K::WHEN => self.is_name_at(next),
            K::WITH => paren_next,
            K::SYSTEM_VERSION | K::VERSION | K::SYSTEM_TIME | K::TIMESTAMP => {
                is_next(&[K::AS]) && self.is_at(next + 1, K::OF)
            }
            _ => false,
        }
    }

    /// Whether `column IN` or `(columns) IN` is `ahead`: what follows FOR in PIVOT.
    fn for_in(&self, ahead: usize) -> bool {
        let after = if self.is_symbol_at(ahead, S::OpenParen) { self.after_paren(ahead) } else { ahead + 1 };
        self.is_at(after, K::IN) || self.is_symbol_at(after, S::OpenParen)
    }

    /// Whether the token `ahead` can begin a relation of a FROM clause.
    pub fn starts_relation(&self, ahead: usize) -> bool {
        match self.kind_at(ahead) {
            TokenKind::Symbol(S::OpenParen) => true,
            TokenKind::Keyword(K::FROM) => !self.starts_relation(ahead + 1),
            TokenKind::Keyword(keyword) => keyword == K::LATERAL || !self.starts_clause(ahead, AliasOf::Column),
            _ => self.is_name_at(ahead),
        }
    }

    /// Whether the next token is an alias that stands without AS.
    pub fn is_bare_alias(&self, of: AliasOf) -> bool {
        self.is_name() && !self.starts_clause(0, of)
    }

    /// Whether AS stands next and introduces an alias (it may itself be one).
    pub fn is_as(&self, of: AliasOf) -> bool {
        self.is(K::AS)
            && (self.is_symbol_at(1, S::OpenParen) || self.is_name_at(1))
            && !(self.starts_clause(1, of) && self.keyword_at(1).is_some_and(|k| !k.joins_relations()))
    }
}
