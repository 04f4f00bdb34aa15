//! SQL scripting: `BEGIN … END` and what stands in it.

use firesteel_plan::{
    Expr, SparkError, SparkResult, Statement,
    statement::{
        Block, BlockItem, Condition, ConditionValue, Handler, ScriptStatement, ScriptStatementKind, StatementKind,
    },
};

use crate::{cursor::Parser, keyword::Keyword as K, lexer::Symbol as S};

/// A label in whose body the parser is.
pub struct OpenLabel {
    name: String,
    /// Of a block: LEAVE may name it, ITERATE may not.
    is_block: bool,
}

/// What a block has had so far; its declarations come in this order.
#[derive(PartialEq, PartialOrd, Clone, Copy)]
enum Stage {
    Variables,
    Cursors,
    Handlers,
    Statements,
}

impl Parser<'_> {
    /// Whether `BEGIN [NOT ATOMIC]` begins a script and is not a name.
    pub(super) fn starts_script(&self) -> bool {
        self.is(K::BEGIN)
    }

    /// A whole script; it has no label. BEGIN is next.
    pub(super) fn script(&mut self) -> SparkResult<StatementKind> {
        let start = self.start();
        self.script_depth += 1;
        let block = self.whole_block(start);
        self.script_depth -= 1;
        let block = block?;
        Ok(StatementKind::Script(Box::new(block)))
    }

    /// The outermost block, which has no label at its end either.
    fn whole_block(&mut self, start: usize) -> SparkResult<Block> {
        self.expect(K::BEGIN)?;
        self.eat_all(&[K::NOT, K::ATOMIC]);
        let items = self.nested(Self::block_items)?;
        self.expect(K::END)?;
        Ok(Block { label: None, items, span: self.span_from(start) })
    }

    fn block(&mut self, label: Option<String>, start: usize) -> SparkResult<Block> {
        self.expect(K::BEGIN)?;
        self.eat_all(&[K::NOT, K::ATOMIC]);
        self.open_label(label.as_deref(), true, start)?;
        let items = self.nested(Self::block_items)?;
        self.close_label(label.as_deref());
        self.expect(K::END)?;
        self.end_label(label.as_deref())?;
        Ok(Block { label, items, span: self.span_from(start) })
    }

    fn block_items(&mut self) -> SparkResult<Vec<BlockItem>> {
        let mut items = Vec::new();
        let mut stage = Stage::Variables;
        while !self.is(K::END) {
            let (item, of) = self.block_item()?;
            if of < stage {
                return Err(misplaced(&item).map_or_else(|| self.unexpected(), |e| self.error_of_statement(e)));
            }
            stage = of;
            items.push(item);
            self.expect_symbol(S::Semicolon)?;
        }
        Ok(items)
    }

    fn block_item(&mut self) -> SparkResult<(BlockItem, Stage)> {
        let start = self.start();
        if self.is(K::DECLARE) {
            if self.is_any_at(1, &[K::CONTINUE, K::EXIT]) && self.is_at(2, K::HANDLER) {
                return Ok((BlockItem::Handler(Box::new(self.handler()?)), Stage::Handlers));
            }
            if self.is_name_at(1) && self.is_at(2, K::CONDITION) {
                self.advance();
                let name = self.identifier()?;
                self.advance();
                let sql_state = if self.eat(K::FOR) { self.sql_state()? } else { "45000".to_owned() };
                let condition = Condition { name, sql_state, span: self.span_from(start) };
                return Ok((BlockItem::Condition(condition), Stage::Variables));
            }
            let statement = self.script_statement()?;
            let is_cursor = matches!(&statement.kind, ScriptStatementKind::Sql(sql) if matches!(sql.kind, StatementKind::DeclareCursor(_)));
            let stage = if is_cursor { Stage::Cursors } else { Stage::Variables };
            return Ok((BlockItem::Statement(Box::new(statement)), stage));
        }
        Ok((BlockItem::Statement(Box::new(self.script_statement()?)), Stage::Statements))
    }

    /// `DECLARE EXIT | CONTINUE HANDLER FOR condition, … statement`
    fn handler(&mut self) -> SparkResult<Handler> {
        let start = self.start();
        self.expect(K::DECLARE)?;
        let continues = self.eat(K::CONTINUE);
        if !continues {
            self.expect(K::EXIT)?;
        }
        self.expect_all(&[K::HANDLER, K::FOR])?;
        let conditions = self.comma_separated(Self::condition_value)?;
        let body = self.script_statement()?;
        Ok(Handler { continues, conditions, body, span: self.span_from(start) })
    }

    fn condition_value(&mut self) -> SparkResult<ConditionValue> {
        if self.is(K::SQLSTATE) && (self.is_string_at(1) || self.is_at(1, K::VALUE) && self.is_string_at(2)) {
            return self.sql_state().map(ConditionValue::SqlState);
        }
        if self.eat(K::SQLEXCEPTION) {
            return Ok(ConditionValue::SqlException);
        }
        if self.eat_all(&[K::NOT, K::FOUND]) {
            return Ok(ConditionValue::NotFound);
        }
        self.multipart_name().map(ConditionValue::Name)
    }

    /// `SQLSTATE [VALUE] 'state'`
    fn sql_state(&mut self) -> SparkResult<String> {
        self.expect(K::SQLSTATE)?;
        self.eat(K::VALUE);
        let start = self.start();
        let state = self.string()?;
        let well_formed = state.len() == 5 && state.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
        let class_is_free = !["00", "01", "XX"].iter().any(|class| state.starts_with(class));
        if well_formed && class_is_free {
            return Ok(state);
        }
        let error = SparkError::new(
            "INVALID_SQLSTATE",
            "428B3",
            format!(
                "Invalid SQLSTATE value: '{state}'. SQLSTATE must be exactly 5 characters long and contain only A-Z and 0-9. SQLSTATE must not start with '00', '01', or 'XX'."
            ),
        );
        Err(self.error_from(error.param("sqlState", state), start))
    }

    fn script_statement(&mut self) -> SparkResult<ScriptStatement> {
        let start = self.start();
        let kind = self.nested(Self::script_statement_kind)?;
        Ok(ScriptStatement { kind, span: self.span_from(start) })
    }

    fn script_statement_kind(&mut self) -> SparkResult<ScriptStatementKind> {
        let start = self.start();
        let label = if self.is_name() && self.is_symbol_at(1, S::Colon) {
            let label = self.plain_identifier()?;
            self.advance();
            Some(label)
        } else {
            None
        };
        match self.keyword() {
            Some(K::BEGIN) => self.block(label, start).map(|b| ScriptStatementKind::Block(Box::new(b))),
            Some(K::WHILE) => {
                self.advance();
                let condition = Box::new(self.expression()?);
                self.expect(K::DO)?;
                let body = self.labelled_body(label.as_deref(), start, &[K::END])?;
                self.expect_all(&[K::END, K::WHILE])?;
                self.end_label(label.as_deref())?;
                Ok(ScriptStatementKind::While { label, condition, body })
            }
            Some(K::REPEAT) => {
                self.advance();
                let body = self.labelled_body(label.as_deref(), start, &[K::UNTIL])?;
                self.expect(K::UNTIL)?;
                let until = Box::new(self.expression()?);
                self.expect_all(&[K::END, K::REPEAT])?;
                self.end_label(label.as_deref())?;
                Ok(ScriptStatementKind::Repeat { label, body, until })
            }
            Some(K::LOOP) => {
                self.advance();
                let body = self.labelled_body(label.as_deref(), start, &[K::END])?;
                self.expect_all(&[K::END, K::LOOP])?;
                self.end_label(label.as_deref())?;
                Ok(ScriptStatementKind::Loop { label, body })
            }
            Some(K::FOR) => self.for_statement(label, start),
            _ if label.is_some() => Err(self.unexpected()),
            Some(K::IF) => self.if_statement(),
            Some(K::CASE) => self.case_statement(),
            Some(word @ (K::LEAVE | K::ITERATE)) => {
                self.advance();
                let place = self.start();
                let name = self.identifier()?;
                self.check_label_use(&name, word, place)?;
                Ok(if word == K::LEAVE { ScriptStatementKind::Leave(name) } else { ScriptStatementKind::Iterate(name) })
            }
            Some(K::SET) if !self.is_at(1, K::CATALOG) => {
                self.advance();
                if self.is_any(&[K::VARIABLE, K::VAR]) && self.is_name_at(1) && !self.is_symbol_at(1, S::Equal) {
                    return Err(self.unexpected_at(1));
                }
                let kind = self.set_variable()?;
                Ok(ScriptStatementKind::Sql(Box::new(Statement { kind, span: self.span_from(start) })))
            }
            _ => self.statement().map(|s| ScriptStatementKind::Sql(Box::new(s))),
        }
    }

    /// Statements up to one of the words, each with a semicolon behind it; there is one at least.
    fn body(&mut self, ends: &[K]) -> SparkResult<Vec<ScriptStatement>> {
        let mut statements = Vec::new();
        loop {
            if self.is(K::DECLARE) {
                // Declarations belong to blocks.
                let statement = self.script_statement()?;
                return Err(misplaced(&BlockItem::Statement(Box::new(statement)))
                    .map_or_else(|| self.unexpected(), |e| self.error_of_statement(e)));
            }
            statements.push(self.script_statement()?);
            self.expect_symbol(S::Semicolon)?;
            if self.is_any(ends) {
                return Ok(statements);
            }
        }
    }

    fn labelled_body(&mut self, label: Option<&str>, start: usize, ends: &[K]) -> SparkResult<Vec<ScriptStatement>> {
        self.open_label(label, false, start)?;
        let body = self.body(ends)?;
        self.close_label(label);
        Ok(body)
    }

    /// `FOR [variable AS] query DO … END FOR`
    fn for_statement(&mut self, label: Option<String>, start: usize) -> SparkResult<ScriptStatementKind> {
        self.expect(K::FOR)?;
        let mut variable = None;
        if self.is_name() && self.is_at(1, K::AS) {
            variable = Some(self.identifier()?);
            self.advance();
        }
        // DO is no alias of the query's last table.
        self.for_queries += 1;
        let query = self.query();
        self.for_queries -= 1;
        let query = Box::new(query?);
        self.expect(K::DO)?;
        let body = self.labelled_body(label.as_deref(), start, &[K::END])?;
        self.expect_all(&[K::END, K::FOR])?;
        self.end_label(label.as_deref())?;
        Ok(ScriptStatementKind::For { label, variable, query, body })
    }

    /// `IF condition THEN … ELSEIF … ELSE … END IF`
    fn if_statement(&mut self) -> SparkResult<ScriptStatementKind> {
        self.expect(K::IF)?;
        let mut branches = Vec::new();
        loop {
            let condition = self.expression()?;
            self.expect(K::THEN)?;
            branches.push((condition, self.body(&[K::ELSEIF, K::ELSE, K::END])?));
            if !self.eat(K::ELSEIF) {
                break;
            }
        }
        let otherwise = if self.eat(K::ELSE) { Some(self.body(&[K::END])?) } else { None };
        self.expect_all(&[K::END, K::IF])?;
        Ok(ScriptStatementKind::If { branches, otherwise })
    }

    /// `CASE [operand] WHEN … THEN … ELSE … END CASE`
    fn case_statement(&mut self) -> SparkResult<ScriptStatementKind> {
        self.expect(K::CASE)?;
        let operand = if self.is(K::WHEN) { None } else { Some(Box::new(self.expression()?)) };
        let mut branches: Vec<(Expr, Vec<ScriptStatement>)> = Vec::new();
        while self.eat(K::WHEN) {
            let value = self.expression()?;
            self.expect(K::THEN)?;
            branches.push((value, self.body(&[K::WHEN, K::ELSE, K::END])?));
        }
        if branches.is_empty() {
            return Err(self.unexpected());
        }
        let otherwise = if self.eat(K::ELSE) { Some(self.body(&[K::END])?) } else { None };
        self.expect_all(&[K::END, K::CASE])?;
        Ok(ScriptStatementKind::Case { operand, branches, otherwise })
    }

    // ---- labels

    fn open_label(&mut self, label: Option<&str>, is_block: bool, start: usize) -> SparkResult<()> {
        let Some(name) = label else { return Ok(()) };
        let forbidden = ["builtin", "session", "sys", "system"].iter().any(|w| name.eq_ignore_ascii_case(w));
        let known = self.labels.iter().any(|l| l.name.eq_ignore_ascii_case(name));
        if forbidden || known {
            let (class, what) = if known {
                (
                    "LABEL_OR_FOR_VARIABLE_ALREADY_EXISTS",
                    "already exists. Choose another name or rename the existing one.",
                )
            } else {
                ("LABEL_OR_FOR_VARIABLE_NAME_FORBIDDEN", "is forbidden.")
            };
            let shown = format!("`{}`", name.to_lowercase());
            let subject = if known { "label or FOR variable" } else { "label or FOR variable name" };
            let error = SparkError::new(class, "42K0L", format!("The {subject} {shown} {what}"));
            return Err(self.error_from(error.param("label", shown), start));
        }
        self.labels.push(OpenLabel { name: name.to_owned(), is_block });
        Ok(())
    }

    fn close_label(&mut self, label: Option<&str>) {
        if label.is_some() {
            self.labels.pop();
        }
    }

    /// The label behind END, which is that before BEGIN.
    fn end_label(&mut self, label: Option<&str>) -> SparkResult<()> {
        // Another word behind END is an error of its own.
        if !self.is_name() || !self.token(1).kind.ends_statement() {
            return Ok(());
        }
        let start = self.start();
        let end = self.identifier()?;
        let shown = |name: &str| format!("`{}`", name.to_lowercase());
        let error = match label {
            Some(begin) if begin.eq_ignore_ascii_case(&end) => return Ok(()),
            Some(begin) => SparkError::new(
                "LABELS_MISMATCH",
                "42K0L",
                format!("Begin label {} does not match the end label {}.", shown(begin), shown(&end)),
            )
            .param("beginLabel", shown(begin)),
            None => SparkError::new(
                "END_LABEL_WITHOUT_BEGIN_LABEL",
                "42K0L",
                format!("End label {} can not exist without begin label.", shown(&end)),
            ),
        };
        Err(self.error_from(error.param("endLabel", shown(&end)), start))
    }

    fn check_label_use(&self, name: &str, word: K, place: usize) -> SparkResult<()> {
        let known = self.labels.iter().find(|l| l.name.eq_ignore_ascii_case(name));
        let (subclass, what) = match known {
            None => (
                "DOES_NOT_EXIST",
                format!(
                    "Label was used in the {} statement, but the label does not belong to any surrounding block.",
                    word.text()
                ),
            ),
            Some(label) if label.is_block && word == K::ITERATE => (
                "ITERATE_IN_COMPOUND",
                "ITERATE statement cannot be used with a label that belongs to a compound (BEGIN...END) body."
                    .to_owned(),
            ),
            Some(_) => return Ok(()),
        };
        let shown = format!("`{}`", name.to_uppercase());
        let class = format!("INVALID_LABEL_USAGE.{subclass}");
        let message = format!("The usage of the label {shown} is invalid. {what}");
        let mut error = SparkError::new(class, "42K0L", message).param("labelName", shown);
        if known.is_none() {
            error = error.param("statementType", word.text());
        }
        Err(self.error_from(error, place))
    }
}

/// The error of a declaration behind what it must stand before.
fn misplaced(item: &BlockItem) -> Option<SparkError> {
    match item {
        BlockItem::Condition(condition) => {
            let name = format!("`{}`", condition.name);
            let message = format!(
                "Invalid condition declaration. Condition {name} can only be declared at the start of a BEGIN END compound \
                 statement."
            );
            let class = "INVALID_ERROR_CONDITION_DECLARATION.NOT_AT_START_OF_COMPOUND_STATEMENT";
            Some(SparkError::new(class, "42K0R", message).param("conditionName", name))
        }
        BlockItem::Handler(_) => Some(SparkError::new(
            "INVALID_HANDLER_DECLARATION.WRONG_PLACE_OF_DECLARATION",
            "42K0Q",
            "Invalid handler declaration. Handlers must be declared after variable/condition/cursor declarations, and before \
             other statements.",
        )),
        BlockItem::Statement(statement) => {
            let ScriptStatementKind::Sql(sql) = &statement.kind else { return None };
            match &sql.kind {
                StatementKind::DeclareVariable { names, .. } => {
                    let name = format!("`{}`", names.first()?.join("`.`"));
                    let message = format!(
                        "Invalid variable declaration. Variable {name} can only be declared at the beginning of the compound."
                    );
                    let class = "INVALID_VARIABLE_DECLARATION.ONLY_AT_BEGINNING";
                    Some(SparkError::new(class, "42K0M", message).param("varName", name))
                }
                StatementKind::DeclareCursor(_) => Some(SparkError::new(
                    "INVALID_CURSOR_DECLARATION",
                    "42601",
                    "Cursors must be declared after variable/condition declarations, and before handlers and other statements.",
                )),
                _ => None,
            }
        }
    }
}
