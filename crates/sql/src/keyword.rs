//! Spark's keywords, and which of them may be names.
//!
//! By default (`spark.sql.ansi.enforceReservedKeywords=false`) no keyword is reserved: each can name a column, a table or
//! an alias. Only the words that tie relations together cannot be a table's alias without quotes. With the setting, the
//! standard's reserved words are no names without quotes.

macro_rules! keywords {
    ($($word:ident),* $(,)?) => {
        /// One of Spark's keywords, spelled as in SQL.
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Keyword { $($word),* }

        /// In alphabetical order, as the variants are.
        const ALL: &[(&str, Keyword)] = &[$((stringify!($word), Keyword::$word)),*];
    };
}

keywords! {
    ADD, AFTER, AGGREGATE, ALL, ALTER, ALWAYS, ANALYZE, AND, ANTI, ANY, ANY_VALUE, APPROX, ARCHIVE, ARRAY, AS, ASC,
    ASENSITIVE, AT, ATOMIC, AUTHORIZATION, BEGIN, BERNOULLI, BETWEEN, BIGINT, BINARY, BINDING, BOOLEAN, BOTH,
    BUCKET, BUCKETS, BY, BYTE, CACHE, CALL, CALLED, CASCADE, CASE, CAST, CATALOG, CATALOGS, CHANGE, CHANGES,
    CHAR, CHARACTER, CHECK, CLEAR, CLOSE, CLUSTER, CLUSTERED, CODEGEN, COLLATE, COLLATION, COLLATIONS,
    COLLECTION, COLUMN, COLUMNS, COMMENT, COMMIT, COMPACT, COMPACTIONS, COMPENSATION, COMPUTE, CONCATENATE,
    CONDITION, CONSTRAINT, CONTAINS, CONTINUE, COST, CREATE, CROSS, CUBE, CURRENT, CURRENT_DATABASE,
    CURRENT_DATE, CURRENT_PATH, CURRENT_SCHEMA, CURRENT_TIME, CURRENT_TIMESTAMP, CURRENT_USER, CURSOR, DATA,
    DATABASE, DATABASES, DATE, DATEADD, DATEDIFF, DATE_ADD, DATE_DIFF, DAY, DAYOFYEAR, DAYS, DBPROPERTIES, DEC,
    DECIMAL, DECLARE, DEFAULT, DEFAULT_PATH, DEFINED, DEFINER, DELAY, DELETE, DELIMITED, DESC, DESCRIBE,
    DETERMINISTIC, DFS, DIRECTORIES, DIRECTORY, DISTANCE, DISTINCT, DISTRIBUTE, DIV, DO, DOUBLE, DROP, ELSE,
    ELSEIF, END, ENFORCED, ESCAPE, ESCAPED, EVOLUTION, EXACT, EXCEPT, EXCHANGE, EXCLUDE, EXCLUSIVE, EXECUTE,
    EXISTS, EXIT, EXPLAIN, EXPORT, EXTEND, EXTENDED, EXTERNAL, EXTRACT, FALSE, FETCH, FIELDS, FILEFORMAT,
    FILTER, FIRST, FLOAT, FLOW, FOLLOWING, FOR, FOREIGN, FORMAT, FORMATTED, FOUND, FROM, FULL, FUNCTION,
    FUNCTIONS, GENERATED, GEOGRAPHY, GEOMETRY, GLOBAL, GRANT, GROUP, GROUPING, HANDLER, HAVING, HOUR, HOURS,
    IDENTIFIED, IDENTIFIER, IDENTITY, IF, IGNORE, ILIKE, IMMEDIATE, IMPORT, IN, INCLUDE, INCLUSIVE, INCREMENT,
    INDEX, INDEXES, INNER, INPATH, INPUT, INPUTFORMAT, INSENSITIVE, INSERT, INT, INTEGER, INTERSECT, INTERVAL,
    INTO, INVOKER, IS, ITEMS, ITERATE, JOIN, JSON, KEY, KEYS, LANGUAGE, LAST, LATERAL, LAZY, LEADING, LEAVE,
    LEFT, LEVEL, LIKE, LIMIT, LINES, LIST, LOAD, LOCAL, LOCATION, LOCK, LOCKS, LOGICAL, LONG, LOOP, MACRO, MAP,
    MATCHED, MATERIALIZED, MAX, MEASURE, MERGE, METRICS, MICROSECOND, MICROSECONDS, MILLISECOND, MILLISECONDS,
    MINUS, MINUTE, MINUTES, MODIFIES, MONTH, MONTHS, MSCK, NAME, NAMESPACE, NAMESPACES, NANOSECOND, NANOSECONDS,
    NATURAL, NEAREST, NEXT, NO, NONE, NORELY, NOT, NULL, NULLS, NUMERIC, OF, OFFSET, ON, ONLY, OPEN, OPTION,
    OPTIONS, OR, ORDER, OUT, OUTER, OUTPUTFORMAT, OVER, OVERLAPS, OVERLAY, OVERWRITE, PARTITION, PARTITIONED,
    PARTITIONS, PATH, PERCENT, PIVOT, PLACING, POSITION, PRECEDING, PRIMARY, PRINCIPALS, PROCEDURE, PROCEDURES,
    PROPERTIES, PURGE, QUALIFY, QUARTER, QUERY, RANGE, READ, READS, REAL, RECORDREADER, RECORDWRITER, RECOVER,
    RECURSION, RECURSIVE, REDUCE, REFERENCES, REFRESH, REGEXP, RELY, RENAME, REPAIR, REPEAT, REPEATABLE,
    REPLACE, RESET, RESPECT, RESTRICT, RETURN, RETURNS, REVOKE, RIGHT, RLIKE, ROLE, ROLES, ROLLBACK, ROLLUP,
    ROW, ROWS, SCHEMA, SCHEMAS, SECOND, SECONDS, SECURITY, SELECT, SEMI, SEPARATED, SERDE, SERDEPROPERTIES,
    SESSION_USER, SET, SETS, SHORT, SHOW, SIMILARITY, SINGLE, SKEWED, SMALLINT, SOME, SORT, SORTED, SOURCE,
    SPECIFIC, SQL, SQLEXCEPTION, SQLSTATE, START, STATISTICS, STORED, STRATIFY, STREAM, STREAMING, STRING,
    STRUCT, SUBSTR, SUBSTRING, SYNC, SYSTEM, SYSTEM_PATH, SYSTEM_TIME, SYSTEM_VERSION, TABLE, TABLES,
    TABLESAMPLE, TARGET, TBLPROPERTIES, TEMP, TEMPORARY, TERMINATED, THEN, TIME, TIMEDIFF, TIMESTAMP,
    TIMESTAMPADD, TIMESTAMPDIFF, TIMESTAMP_LTZ, TIMESTAMP_NTZ, TINYINT, TO, TOUCH, TRAILING, TRANSACTION,
    TRANSACTIONS, TRANSFORM, TRIM, TRUE, TRUNCATE, TRY_CAST, TYPE, UNARCHIVE, UNBOUNDED, UNCACHE, UNION, UNIQUE,
    UNKNOWN, UNLOCK, UNPIVOT, UNSET, UNTIL, UPDATE, USE, USER, USING, VALUE, VALUES, VAR, VARCHAR, VARIABLE,
    VARIANT, VERSION, VIEW, VIEWS, VOID, WATERMARK, WEEK, WEEKS, WHEN, WHERE, WHILE, WINDOW, WITH, WITHIN,
    WITHOUT, X, YEAR, YEARS, ZONE,
}

const LONGEST: usize = 32;

impl Keyword {
    /// The keyword that `word` spells, in any case.
    pub fn of(word: &str) -> Option<Self> {
        if word.len() > LONGEST || !word.is_ascii() {
            return None;
        }
        let mut buffer = [0_u8; LONGEST];
        let upper = &mut buffer[..word.len()];
        upper.copy_from_slice(word.as_bytes());
        upper.make_ascii_uppercase();
        ALL.binary_search_by(|(text, _)| text.as_bytes().cmp(upper)).ok().map(|at| ALL[at].1)
    }

    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|(_, keyword)| *keyword)
    }

    pub fn text(self) -> &'static str {
        ALL[self as usize].0
    }

    /// Whether the word is no name without quotes where `spark.sql.ansi.enforceReservedKeywords` is set.
    pub fn is_reserved(self) -> bool {
        use Keyword as K;
        matches!(
            self,
            K::ALL
                | K::AND
                | K::ANY
                | K::AS
                | K::AUTHORIZATION
                | K::BOTH
                | K::CALL
                | K::CASE
                | K::CAST
                | K::CHECK
                | K::COLLATE
                | K::COLLATION
                | K::COLLATIONS
                | K::COLUMN
                | K::CONSTRAINT
                | K::CREATE
                | K::CROSS
                | K::CURRENT_DATE
                | K::CURRENT_PATH
                | K::CURRENT_SCHEMA
                | K::CURRENT_TIME
                | K::CURRENT_TIMESTAMP
                | K::CURRENT_USER
                | K::DISTINCT
                | K::ELSE
                | K::END
                | K::ESCAPE
                | K::EXCEPT
                | K::EXECUTE
                | K::FALSE
                | K::FETCH
                | K::FILTER
                | K::FOR
                | K::FOREIGN
                | K::FROM
                | K::FULL
                | K::GRANT
                | K::GROUP
                | K::HAVING
                | K::IN
                | K::INNER
                | K::INTERSECT
                | K::INTO
                | K::IS
                | K::JOIN
                | K::LATERAL
                | K::LEADING
                | K::LEFT
                | K::NATURAL
                | K::NOT
                | K::NULL
                | K::OFFSET
                | K::ON
                | K::ONLY
                | K::OR
                | K::ORDER
                | K::OUTER
                | K::OVERLAPS
                | K::PRIMARY
                | K::RECURSIVE
                | K::REFERENCES
                | K::RIGHT
                | K::SELECT
                | K::SESSION_USER
                | K::SOME
                | K::SQL
                | K::TABLE
                | K::THEN
                | K::TIME
                | K::TO
                | K::TRAILING
                | K::UNION
                | K::UNIQUE
                | K::UNKNOWN
                | K::USER
                | K::USING
                | K::WHEN
                | K::WHERE
                | K::WITH
                | K::WITHIN
        )
    }

    /// Whether the word cannot stand as an unquoted alias of a table: it would tie two relations together instead.
    pub fn joins_relations(self) -> bool {
        use Keyword as K;
        matches!(
            self,
            K::ANTI
                | K::CROSS
                | K::EXCEPT
                | K::FULL
                | K::INNER
                | K::INTERSECT
                | K::JOIN
                | K::LATERAL
                | K::LEFT
                | K::MINUS
                | K::NATURAL
                | K::ON
                | K::RIGHT
                | K::SEMI
                | K::UNION
                | K::USING
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_is_found_by_its_text_in_any_case() {
        for (text, keyword) in ALL {
            assert_eq!(Keyword::of(text), Some(*keyword));
            assert_eq!(Keyword::of(&text.to_lowercase()), Some(*keyword));
            assert_eq!(keyword.text(), *text);
        }
        assert_eq!(Keyword::of("selec"), None);
        assert_eq!(Keyword::of("ſelect"), None);
    }
}
