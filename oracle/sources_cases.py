"""The cases of `oracle/sources`: files, how they are read, and what is asked of them.

A case is read with the schema (None: inferred) and options given; `{t}` in its query is the table. Files are texts or bytes by name;
a file that Spark writes is in WRITTEN.
"""

import bz2
import dataclasses
import gzip
import zlib


@dataclasses.dataclass
class Case:
    name: str
    format: str
    files: dict
    schema: str | None = None
    options: dict = dataclasses.field(default_factory=dict)
    query: str = "SELECT * FROM {t}"
    conf: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Written:
    """What a writer leaves: rows of a query, in a format, with options."""

    name: str
    format: str
    query: str
    options: dict = dataclasses.field(default_factory=dict)
    partition_by: tuple = ()
    # How the files are read again.
    schema: str | None = None
    read: dict = dataclasses.field(default_factory=dict)


CASES, WRITTEN = [], []


def case(name, format, files, schema=None, query="SELECT * FROM {t}", conf=None, **options):
    files = files if isinstance(files, dict) else {f"f.{format}": files}
    CASES.append(Case(name, format, files, schema, options, query, conf or {}))


def modes(name, format, files, schema, **options):
    """The same in every read mode, and with the column of what cannot be read."""
    case(f"{name}-permissive", format, files, schema, **options)
    case(f"{name}-corrupt", format, files, f"{schema}, _corrupt_record STRING", **options)
    case(f"{name}-drop", format, files, schema, mode="DROPMALFORMED", **options)
    case(f"{name}-failfast", format, files, schema, mode="FAILFAST", **options)


# ---- CSV

BAD_CSV = "1,a,2.5\nx,b,1\n3,c\n4,d,5,6\n5,\"e\"\"f\",7\n\n6,'q',\n,,\n7,g,NaN\n"
modes("csv-bad", "csv", BAD_CSV, "a INT, b STRING, c DOUBLE")
case("csv-bad-pruned", "csv", BAD_CSV, "a INT, b STRING, c DOUBLE", "SELECT b FROM {t}")
case("csv-bad-pruned-drop", "csv", BAD_CSV, "a INT, b STRING, c DOUBLE", "SELECT b FROM {t}", mode="DROPMALFORMED")
case("csv-bad-count", "csv", BAD_CSV, "a INT, b STRING, c DOUBLE", "SELECT count(*) FROM {t}", mode="DROPMALFORMED")
case("csv-bad-pruned-corrupt", "csv", BAD_CSV, "a INT, b STRING, c DOUBLE, _corrupt_record STRING",
     "SELECT b, _corrupt_record FROM {t}")
case("csv-only-corrupt", "csv", BAD_CSV, "a INT, b STRING, c DOUBLE, _corrupt_record STRING", "SELECT _corrupt_record FROM {t}")
case("csv-corrupt-name", "csv", BAD_CSV, "a INT, b STRING, c DOUBLE, bad STRING", columnNameOfCorruptRecord="bad")
case("csv-corrupt-first", "csv", BAD_CSV, "bad STRING, a INT, b STRING, c DOUBLE", columnNameOfCorruptRecord="bad")
case("csv-corrupt-type", "csv", BAD_CSV, "a INT, _corrupt_record INT")
case("csv-mode-unknown", "csv", BAD_CSV, "a INT, b STRING, c DOUBLE", mode="sometimes")

QUOTES = ('1,"a,b",x\n2,"a ""q"" b",x\n3,"a \\"q\\" b",x\n4,"open,x\n5,a"b"c,x\n6,"a"b,x\n7,"a" ,x\n8,"a" b,x\n9,"",x\n10,"\\\\",x\n'
          '11,"a\\b",x\n12,a\\,b,x\n13, a , b \n14,"a""",x\n15,""a"",x\n16,"a"\\"b",x\n17,"""a",x\n')
for handling in ("STOP_AT_DELIMITER", "STOP_AT_CLOSING_QUOTE", "SKIP_VALUE", "RAISE_ERROR", "BACK_TO_DELIMITER"):
    case(f"csv-quotes-{handling.lower()}", "csv", QUOTES, "a STRING, b STRING, c STRING", unescapedQuoteHandling=handling)
case("csv-quotes-escape-quote", "csv", QUOTES, "a STRING, b STRING, c STRING", escape='"')
case("csv-quotes-none", "csv", QUOTES, "a STRING, b STRING, c STRING", quote="")
case("csv-quotes-single", "csv", "1,'a,b',x\n2,'a ''q'' b',x\n3,'it!'s',y\n4,\"p,q\"\n", "a STRING, b STRING, c STRING", quote="'", escape="!")
case("csv-escape-escape", "csv", '1,"a#"b",x\n2,"a##",x\n3,"a!#"b",x\n4,"a!!#"\n', "a STRING, b STRING, c STRING", escape="#",
     charToEscapeQuoteEscaping="!")
case("csv-trim-leading", "csv", " 1, a ,\" b \" \n 2 ,  , \"c\"x\n", "a STRING, b STRING, c STRING", ignoreLeadingWhiteSpace="true")
case("csv-trim-trailing", "csv", " 1, a ,\" b \" \n 2 ,  , \"c\"x \n", "a STRING, b STRING, c STRING", ignoreTrailingWhiteSpace="true")
case("csv-trim-both", "csv", " 1, a ,\" b \" \n 2 ,  , \"c\"x \n", "a STRING, b STRING, c STRING", ignoreLeadingWhiteSpace="true",
     ignoreTrailingWhiteSpace="true")
case("csv-sep-tab", "csv", "1\ta b\t2\n", "a INT, b STRING, c INT", sep="\t")
case("csv-sep-tab-escaped", "csv", "1\ta b\t2\n", "a INT, b STRING, c INT", sep="\\t")
case("csv-sep-multi", "csv", "1||a|b||2\n3||\"x||y\"||4\n5||||6\n7||\"z\" || 8\n", "a INT, b STRING, c STRING", sep="||")
case("csv-delimiter", "csv", "1;a;2\n", "a INT, b STRING, c INT", delimiter=";")
case("csv-sep-empty", "csv", "1;a;2\n", "a INT", sep="")
case("csv-quote-two", "csv", "1;a;2\n", "a INT", quote="''")
case("csv-comment", "csv", "#x\n1,a\n#,b\n2,#c\n \n", "a STRING, b STRING", comment="#")
case("csv-null-value", "csv", '1,-,\n2,"-",""\n3,x,y\n', "a INT, b STRING, c STRING", nullValue="-")
case("csv-empty-value", "csv", '1,"",\n2,x,"y"\n', "a INT, b STRING, c STRING", emptyValue="EMPTY")
case("csv-null-and-empty", "csv", '1,"",\n2,NA,"NA"\n', "a INT, b STRING, c STRING", nullValue="NA", emptyValue="EMPTY")
case("csv-special-doubles", "csv", "NaN,Inf\n-Inf,Infinity\nnan,inf\n-Infinity,1e400\n1d,0x10\n 1,1 \n+1,-0.0\n1f,.5\n5.,1e3\n",
     "a DOUBLE, b FLOAT, _corrupt_record STRING")
case("csv-special-doubles-named", "csv", "no,up\ndown,1\nNaN,Inf\n", "a DOUBLE, b DOUBLE, _corrupt_record STRING", nanValue="no",
     positiveInf="up", negativeInf="down")
case("csv-numbers", "csv", "1,2,3,4,1.5,true\n128,40000,3000000000,1,1.555,TRUE\n+1,-2,+3,-4,1e2,T\n 1,2 ,3,4,\" 1\",false\n1.0,2,3,4,\"1,234.5\",no\n",
     "a BYTE, b SHORT, c INT, d LONG, e DECIMAL(6,2), f BOOLEAN, _corrupt_record STRING")
case("csv-times", "csv",
     "2020-01-02,2020-01-02 03:04:05,2020-01-02T03:04:05\n2020-1-2,2020-01-02T03:04:05.123456Z,2020-01-02 03:04\n20200102,x,2020-01-02\n"
     "2020-01-02 10:00:00,2020-01-02,2020-01-02T03:04:05Z\n1x,2020-01-02T03:04:05+01:00,y\n",
     "a DATE, b TIMESTAMP, c TIMESTAMP_NTZ, _corrupt_record STRING")
case("csv-times-formats", "csv", "02/01/2020,02.01.2020 03:04,2020-01-02|03\n2020-01-02,2020-01-02 03:04:05,2020-01-02 03:00:00\n",
     "a DATE, b TIMESTAMP, c TIMESTAMP_NTZ, _corrupt_record STRING", dateFormat="dd/MM/yyyy", timestampFormat="dd.MM.yyyy HH:mm",
     timestampNTZFormat="yyyy-MM-dd'|'HH")
case("csv-times-zone", "csv", "2020-01-02 03:04:05\n", "a TIMESTAMP", timeZone="America/New_York")
case("csv-header", "csv", "a,b\n1,x\n2,y\n", None, header="true")
case("csv-header-two-files", "csv", {"1.csv": "a,b\n1,x\n", "2.csv": "a,b\n2,y\n"}, "a INT, b STRING", header="true")
case("csv-header-odd", "csv", "a,,a,A,\"x y\"\n1,2,3,4,5\n", None, header="true")
case("csv-header-not-enforced", "csv", "b,a\n1,x\n", "a INT, b STRING", header="true", enforceSchema="false")
case("csv-header-not-enforced-case", "csv", "A,b\n1,x\n", "a INT, b STRING", header="true", enforceSchema="false")
case("csv-header-short", "csv", "a\n1,x\n", "a INT, b STRING", header="true", enforceSchema="false")
case("csv-no-header-empty", "csv", "", None)
case("csv-header-only", "csv", "a,b\n", None, header="true", inferSchema="true")
INFERRED = ("i,l,d,m,s,b,t,dt,mix,n,ts2\n1,3000000000,1.5,1,x,true,2020-01-02 03:04:05,2020-01-02,1,,2020-01-02\n"
            "2,1,2,123456789012345678901234567890,,false,2020-01-02T03:04:05Z,2020-01-03,x,,2020-01-02 10:00:00\n")
case("csv-infer", "csv", INFERRED, None, header="true", inferSchema="true")
case("csv-infer-no-prefer-date", "csv", INFERRED, None, header="true", inferSchema="true", preferDate="false")
case("csv-infer-dates", "csv", "a,b\n02/01/2020,2.1.2020 3\n03/01/2020,4.1.2020 3\n", None, header="true", inferSchema="true",
     dateFormat="dd/MM/yyyy", timestampFormat="d.M.yyyy H")
case("csv-infer-null-value", "csv", "a,b\n1,-\n-,2.5\n", None, header="true", inferSchema="true", nullValue="-")
case("csv-infer-mixed", "csv", "a,b,c,d\n1,1.5,true,12345678901234567890\n1.5,x,1,1.5\n", None, header="true", inferSchema="true")
case("csv-infer-short-rows", "csv", "1,2\n3\n4,5,6\n", None, inferSchema="true")
case("csv-names-only", "csv", "1,2\n3\n4,5,6\n", None)
case("csv-multiline", "csv", 'a,b\r\n1,"x\r\ny"\r\n\r\n2,"p""q"\r\n3\r\n', "a INT, b STRING, _corrupt_record STRING", header="true",
     multiLine="true")
case("csv-multiline-infer", "csv", 'a,b\n1,"x\ny"\n2,z\n', None, header="true", multiLine="true", inferSchema="true")
case("csv-multiline-off", "csv", 'a,b\n1,"x\ny"\n2,z\n', "a STRING, b STRING", header="true")
case("csv-multiline-cr", "csv", "1,a\r2,b\r", "a INT, b STRING", multiLine="true")
case("csv-crlf", "csv", "1,a\r\n2,b\r\n", "a INT, b STRING")
case("csv-cr", "csv", "1,a\r2,b\r", "a INT, b STRING")
case("csv-line-sep", "csv", "1,a|2,b\nc|3,d", "a INT, b STRING", lineSep="|")
case("csv-line-sep-long", "csv", "1,a|||2", "a INT, b STRING", lineSep="|||")
case("csv-latin1", "csv", "1,\u00e9\n2,\u00fc\n".encode("latin-1"), "a INT, b STRING", encoding="ISO-8859-1")
case("csv-utf16", "csv", "1,\u00e9\n2,\u20ac\n".encode("utf-16-le"), "a INT, b STRING", encoding="UTF-16LE", multiLine="true")
case("csv-encoding-unknown", "csv", "1,a\n", "a INT, b STRING", encoding="nothing")
case("csv-max-columns", "csv", "1,2,3,4\n", "a INT, b INT", maxColumns="3")
case("csv-max-chars", "csv", "1,abcdef\n", "a INT, b STRING", maxCharsPerColumn="3")
case("csv-gzip", "csv", {"f.csv.gz": gzip.compress(b"1,a\n2,b\n", mtime=0)}, "a INT, b STRING")
case("csv-bzip2", "csv", {"f.csv.bz2": bz2.compress(b"1,a\n2,b\n")}, "a INT, b STRING")
case("csv-deflate", "csv", {"f.csv.deflate": zlib.compress(b"1,a\n2,b\n")}, "a INT, b STRING")
case("csv-mixed-compression", "csv", {"1.csv.gz": gzip.compress(b"1,a\n", mtime=0), "2.csv": "2,b\n"}, "a INT, b STRING")
case("csv-sampling-ratio", "csv", "1\n2\n3\n", None, inferSchema="true", samplingRatio="1.0")
case("csv-nested-type", "csv", "1\n", "a ARRAY<INT>")
case("csv-binary-type", "csv", "abc\n", "a BINARY")
case("csv-not-null", "csv", "1\n\n,\n2\n", "a INT NOT NULL")

# ---- JSON

BAD_JSON = ('{"a":1,"b":"x","c":{"d":1}}\n{"a":"y","b":2,"c":{"d":"z"}}\n{"a":3\n[{"a":4},{"a":5,"b":"u"}]\n5\n"text"\nnull\n\n   \n{}\n[]\n'
            '{"a":6,"b":null,"c":null,"e":1}\n{"A":7}\n{"a":8} trailing\n{"a":9,"a":10}\n{"b":{"x" : 1, "y":[1, 2]},"a":1.5}\n[1]\n'
            '{"a":2147483648,"b":1.50}\n{"a": abc, "b": "t"}\n{"b":"t", "a": 01}\n[{"a":11},{"a":"bad","b":"v"}]\n')
modes("json-bad", "json", BAD_JSON, "a INT, b STRING, c STRUCT<d: INT>")
case("json-bad-pruned", "json", BAD_JSON, "a INT, b STRING, c STRUCT<d: INT>", "SELECT b FROM {t}", mode="DROPMALFORMED")
case("json-bad-count", "json", BAD_JSON, "a INT, b STRING, c STRUCT<d: INT>", "SELECT count(*) FROM {t}", mode="DROPMALFORMED")
case("json-bad-count-permissive", "json", BAD_JSON, "a INT, b STRING, c STRUCT<d: INT>", "SELECT count(*) FROM {t}")
case("json-bad-inferred", "json", BAD_JSON)
case("json-bad-inferred-drop", "json", BAD_JSON, mode="DROPMALFORMED")
case("json-bad-inferred-failfast", "json", BAD_JSON, mode="FAILFAST")
case("json-malformed-inferred-failfast", "json", '{"a":1}\n{"a":', mode="FAILFAST")
case("json-only-corrupt", "json", BAD_JSON, "a INT, _corrupt_record STRING", "SELECT _corrupt_record FROM {t}")
case("json-corrupt-name", "json", BAD_JSON, "a INT, bad STRING", columnNameOfCorruptRecord="bad")
case("json-corrupt-conf", "json", BAD_JSON, "a INT, bad STRING", conf={"spark.sql.columnNameOfCorruptRecord": "bad"})
case("json-corrupt-type", "json", BAD_JSON, "a INT, _corrupt_record INT")
TYPES_JSON = ('{"i":1,"l":3000000000,"d":1.5,"big":12345678901234567890,"s":"x","b":true,"n":null,"e":"","a":[1,2.5],"o":{"z":1,"y":"q"},"m":1,"ts":"2020-01-02T03:04:05Z"}\n'
              '{"i":2,"l":1,"d":2,"big":1,"s":"y","b":false,"n":null,"e":"","a":[],"o":{"x":null},"m":"t","ts":"2020-01-02"}\n')
case("json-infer", "json", TYPES_JSON)
case("json-infer-strings", "json", TYPES_JSON, primitivesAsString="true")
case("json-infer-decimal", "json", TYPES_JSON, prefersDecimal="true")
case("json-infer-timestamp", "json", TYPES_JSON, inferTimestamp="true")
case("json-infer-drop-null", "json", TYPES_JSON, dropFieldIfAllNull="true")
case("json-infer-nested", "json", '{"a":[{"b":1},{"c":"x"}],"d":[[1],[2.5]],"e":[null],"f":{},"g":[]}\n{"a":null,"f":{"h":1}}\n')
case("json-infer-mixed", "json", '{"a":1,"b":[1],"c":{"x":1},"d":true}\n{"a":{"x":1},"b":2,"c":"t","d":1}\n')
case("json-infer-empty", "json", "")
case("json-infer-scalars", "json", "1\n2\n")
case("json-multiline", "json", '[\n {"a": 1,\n  "b": "x"},\n {"a": 2}\n]\n', "a INT, b STRING", multiLine="true")
case("json-multiline-infer", "json", {"1.json": '{\n "a": 1\n}', "2.json": '[{"a": 2},\n{"a": 3, "b": "x"}]'}, multiLine="true")
modes("json-multiline-bad", "json", {"1.json": '{\n "a": 1,\n', "2.json": '[{"a": 2},\n{"a": "x"}]', "3.json": ""}, "a INT", multiLine="true")
case("json-multiline-several", "json", '{"a": 1}\n{"a": 2}\n', "a INT", multiLine="true")
LENIENT = ("{'a':1}\n{a:2}\n{\"a\":03}\n{\"a\":4 /* c */}\n{\"a\":5} // c\n{\"b\":\"\\q\"}\n{\"b\":\"x\ty\"}\n{\"b\":NaN}\n{\"b\":\"it\\'s\"}\n# c\n")
for option in ("allowComments", "allowUnquotedFieldNames", "allowNumericLeadingZeros", "allowBackslashEscapingAnyCharacter", "allowUnquotedControlChars"):
    case(f"json-{option}", "json", LENIENT, "a INT, b STRING, _corrupt_record STRING", **{option: "true"})
case("json-strict", "json", LENIENT, "a INT, b STRING, _corrupt_record STRING", allowSingleQuotes="false")
case("json-lenient-default", "json", LENIENT, "a INT, b STRING, _corrupt_record STRING")
case("json-not-numbers", "json", '{"a":NaN}\n{"a":"NaN"}\n{"a":Infinity}\n{"a":-INF}\n{"a":"+INF"}\n{"a":"x"}\n{"a":"1.5"}\n', "a DOUBLE, _corrupt_record STRING")
case("json-no-not-numbers", "json", '{"a":NaN}\n{"a":"NaN"}\n{"a":Infinity}\n{"a":1}\n', "a DOUBLE, _corrupt_record STRING", allowNonNumericNumbers="false")
case("json-times", "json",
     '{"a":"2020-01-02","b":"2020-01-02 03:04:05","c":"2020-01-02T03:04:05"}\n{"a":"2020-1-2","b":"2020-01-02T03:04:05+01:00","c":"2020-01-02T03:04:05Z"}\n'
     '{"a":18263,"b":1577934245,"c":1}\n{"a":"x","b":"x","c":""}\n{"a":"","b":"","c":null}\n',
     "a DATE, b TIMESTAMP, c TIMESTAMP_NTZ, _corrupt_record STRING")
case("json-times-formats", "json", '{"a":"02/01/2020","b":"02.01.2020 03:04","c":"2020-01-02|03"}\n{"a":"2020-01-02","b":"2020-01-02 03:04:05","c":"x"}\n',
     "a DATE, b TIMESTAMP, c TIMESTAMP_NTZ, _corrupt_record STRING", dateFormat="dd/MM/yyyy", timestampFormat="dd.MM.yyyy HH:mm",
     timestampNTZFormat="yyyy-MM-dd'|'HH")
case("json-values", "json",
     '{"y":1,"h":2,"d":1.255,"f":1.5,"bin":"YWI=","arr":[1,null,"x"],"m":{"k":1,"l":"x"},"st":{"p":1,"q":"x"},"bo":true}\n'
     '{"y":128,"h":2.0,"d":"12.5","f":"x","bin":"??","arr":[1,2],"m":{"k":1},"st":[1],"bo":"true"}\n',
     "y BYTE, h SHORT, d DECIMAL(5,2), f FLOAT, bin BINARY, arr ARRAY<INT>, m MAP<STRING,INT>, st STRUCT<p: INT, q: INT>, bo BOOLEAN, _corrupt_record STRING")
case("json-line-sep", "json", '{"a":1}|{"a":2}|', "a INT", lineSep="|")
case("json-line-sep-long", "json", '{"a":1}^^^{"a":2}', "a INT", lineSep="^^^")
case("json-cr", "json", '{"a":1}\r{"a":2}\r', "a INT")
case("json-latin1", "json", '{"a":"\u00e9"}\n'.encode("latin-1"), "a STRING", encoding="ISO-8859-1", lineSep="\n")
case("json-utf16", "json", '{"a":"\u20ac"}'.encode("utf-16"), "a STRING", encoding="UTF-16", multiLine="true")
case("json-utf16-lines", "json", '{"a":"\u20ac"}\n{"a":"b"}\n'.encode("utf-16-le"), "a STRING", encoding="UTF-16LE", lineSep="\n")
case("json-utf16-no-line-sep", "json", '{"a":"\u20ac"}\n{"a":"b"}\n'.encode("utf-16-le"), "a STRING", encoding="UTF-16LE")
case("json-encoding-unknown", "json", '{"a":1}\n', "a INT", encoding="nothing")
case("json-bad-utf8", "json", b'{"a":"x\xffy"}\n{"a":"z"}\n', "a STRING, _corrupt_record STRING")
case("json-gzip", "json", {"f.json.gz": gzip.compress(b'{"a":1}\n', mtime=0)}, "a INT")
case("json-duplicate-keys", "json", '{"a":1,"a":2}\n')
case("json-deep", "json", '{"a":' + "[" * 1200 + "]" * 1200 + "}\n", "a STRING, _corrupt_record STRING")

# ---- text

case("text", "text", "a\nb\r\n\nc")
case("text-whole", "text", {"1.txt": "a\nb\n", "2.txt": "c"}, wholetext="true")
case("text-line-sep", "text", "a|b\nc|", lineSep="|")
case("text-cr", "text", "a\rb\r\nc")
case("text-schema", "text", "a\n", "a STRING")
case("text-schema-two", "text", "a\n", "a STRING, b STRING")
case("text-schema-int", "text", "1\n", "a INT")

# ---- binary files

case("binary", "binaryFile", {"a.bin": b"\x00\x01\xff", "b.txt": "text"}, None, "SELECT length, content, path LIKE '%/a.bin', modificationTime > TIMESTAMP'2020-01-01' FROM {t}")
case("binary-glob", "binaryFile", {"a.bin": b"\x00", "b.txt": "text"}, None, "SELECT length, content FROM {t}", pathGlobFilter="*.bin")
case("binary-length", "binaryFile", {"a.bin": b"\x00", "b.txt": "text"}, None, "SELECT count(*), sum(length) FROM {t}")

# ---- options of all file sources

TWO = {"1.csv": "1\n", "2.txt": "2\n", "sub/3.csv": "3\n"}
case("glob-filter", "csv", TWO, "a INT", pathGlobFilter="*.csv")
case("glob-filter-braces", "csv", TWO, "a INT", pathGlobFilter="{1,9}.*")
case("recursive", "csv", TWO, "a INT", recursiveFileLookup="true")
case("recursive-glob", "csv", TWO, "a INT", recursiveFileLookup="true", pathGlobFilter="*.csv")
case("recursive-partitions", "csv", {"p=1/1.csv": "1\n"}, "a INT", recursiveFileLookup="true")
case("modified-before", "csv", TWO, "a INT", modifiedBefore="2020-01-01T00:00:00")
case("modified-after", "csv", TWO, "a INT", modifiedAfter="2020-01-01T00:00:00")
case("modified-invalid", "csv", TWO, "a INT", modifiedAfter="yesterday")
case("partitions", "csv", {"p=1/q=a/f.csv": "1\n", "p=2/q=b%3Ac/f.csv": "2\n", "p=__HIVE_DEFAULT_PARTITION__/q=x/f.csv": "3\n"}, "a INT")
case("partitions-types", "csv", {"i=1/l=3000000000/d=1.5/dt=2020-01-02/ts=2020-01-02 03%3A04%3A05/s=x/f.csv": "1\n",
                                 "i=2/l=1/d=2/dt=2020-01-03/ts=2020-01-02 03%3A04%3A06/s=1/f.csv": "2\n"}, "a INT")
case("partitions-decimal", "csv", {"d=12345678901234567890/f.csv": "1\n", "d=1/f.csv": "2\n"}, "a INT")
case("partitions-leading-zero", "csv", {"d=01/f.csv": "1\n", "d=1/f.csv": "2\n"}, "a INT")
case("partitions-no-inference", "csv", {"d=01/f.csv": "1\n"}, "a INT", conf={"spark.sql.sources.partitionColumnTypeInference.enabled": "false"})
case("partitions-declared", "csv", {"d=01/f.csv": "1\n"}, "a INT, d STRING")
case("partitions-conflict", "csv", {"d=1/f.csv": "1\n", "e=1/f.csv": "2\n"}, "a INT")
case("partitions-depth", "csv", {"d=1/f.csv": "1\n", "d=1/e=1/f.csv": "2\n"}, "a INT")
case("hidden", "csv", {"_x.csv": "1\n", ".y.csv": "2\n", "z.csv": "3\n", "_p=1/f.csv": "4\n"}, "a INT", query="SELECT a FROM {t}")
METADATA = ("_metadata.file_name, _metadata.file_size, _metadata.file_block_start, "
            "_metadata.file_path LIKE 'file:%/f.csv', _metadata.file_modification_time > TIMESTAMP'2020-01-01'")
case("metadata", "csv", {"f.csv": "1\n2\n"}, "a INT", f"SELECT _c0, {METADATA} FROM csv.`{{path}}`")
case("metadata-not-in-star", "csv", {"f.csv": "1\n"}, "a INT", "SELECT * FROM csv.`{path}`")
case("metadata-only", "csv", {"f.csv": "1\n2\n"}, "a INT", "SELECT _metadata.file_name FROM csv.`{path}`")
case("metadata-filter", "csv", {"1.csv": "1\n", "2.csv": "2\n"}, "a INT", "SELECT _c0 FROM csv.`{path}` WHERE _metadata.file_name = '2.csv'")
case("metadata-type", "csv", {"1.csv": "1\n"}, "a INT", "SELECT typeof(_metadata) FROM csv.`{path}`")
case("metadata-of-view", "csv", {"1.csv": "1\n"}, "a INT", "SELECT _metadata FROM {t}")
case("ignore-corrupt-gzip", "csv", {"1.csv.gz": gzip.compress(b"1\n" * 1000, mtime=0)[:20], "2.csv": "2\n"}, "a INT", ignoreCorruptFiles="true")
case("corrupt-gzip", "csv", {"1.csv.gz": gzip.compress(b"1\n" * 1000, mtime=0)[:20], "2.csv": "2\n"}, "a INT")
for bad in ("parquet", "orc", "avro"):
    case(f"{bad}-no-{bad}", bad, {f"1.{bad}": "this is not it, whatever its name says"}, "a INT")
    case(f"{bad}-no-{bad}-inferred", bad, {f"1.{bad}": "this is not it, whatever its name says"})
    case(f"{bad}-no-{bad}-ignored", bad, {f"1.{bad}": "this is not it, whatever its name says"}, "a INT", ignoreCorruptFiles="true")
    case(f"{bad}-empty-file", bad, {f"1.{bad}": ""}, "a INT")

# ---- XML

XML = ('<?xml version="1.0"?>\n<rows>\n <row id="1"><a>1</a><b>x</b><n><m>1</m><m>2</m></n></row>\n'
       ' <row id="2"><a>y</a><b> z </b><n m2="q">text<m>3</m></n></row>\n <!-- c --><row id="3"/>\n'
       ' <row id="4"><a>4</a><b><![CDATA[<raw>&]]></b></row>\n <row id="5"><a>5</a><a>6</a></row>\n</rows>\n')
modes("xml-typed", "xml", XML, "_id LONG, a INT, b STRING, n STRUCT<m: ARRAY<INT>>", rowTag="row")
case("xml-infer", "xml", XML, rowTag="row")
case("xml-infer-prefix", "xml", XML, rowTag="row", attributePrefix="@", valueTag="#text")
case("xml-no-attributes", "xml", XML, rowTag="row", excludeAttribute="true")
case("xml-no-row-tag", "xml", XML)
case("xml-keep-spaces", "xml", XML, rowTag="row", ignoreSurroundingSpaces="false")
case("xml-no-infer", "xml", XML, rowTag="row", inferSchema="false")
case("xml-null-value", "xml", "<r><row><a>1</a><b>-</b></row><row><a>-</a></row></r>", rowTag="row", nullValue="-")
case("xml-types", "xml", "<r><row><i>1</i><d>1.5</d><b>true</b><t>2020-01-02T03:04:05Z</t><dt>2020-01-02</dt><e/><l>3000000000</l></row></r>", rowTag="row")
modes("xml-broken", "xml", "<r><row><a>1</a></row><row><a>2</b></row><row><a>3</a></row></r>", "a INT", rowTag="row")
modes("xml-cut", "xml", "<r><row><a>1</a></row><row><a>2</a>", "a INT", rowTag="row")
case("xml-namespace", "xml", '<r xmlns:x="u"><x:row><x:a>1</x:a></x:row></r>', rowTag="x:row")
case("xml-map", "xml", "<r><row><m><k1>1</k1><k2>2</k2></m></row></r>", "m MAP<STRING, INT>", rowTag="row")

# ---- what writers leave

VALUES = ("SELECT * FROM VALUES (1, 'a', 1.5D, DATE'2020-01-02', TIMESTAMP'2020-01-02 03:04:05.123456', true, 12.34BD), "
          "(2, '', double('NaN'), NULL, NULL, false, NULL), (NULL, NULL, NULL, DATE'1600-01-01', TIMESTAMP'1600-01-01 00:00:00', NULL, -0.01BD), "
          "(3, 'x,\"y\"\\n z\\\\', double('-Infinity'), DATE'9999-12-31', TIMESTAMP'2020-06-01 00:00:00', true, 1BD) AS t(i, s, d, dt, ts, b, m)")
NESTED = ("SELECT 1 AS i, array(1, NULL, 3) AS a, map('k', 1, 'l', NULL) AS m, named_struct('p', 1, 'q', array('x')) AS s, X'00FF' AS bin "
          "UNION ALL SELECT 2, array(), map(), named_struct('p', NULL, 'q', NULL), X'' UNION ALL SELECT 3, NULL, NULL, NULL, NULL")
FLAT = "i INT, s STRING, d DOUBLE, dt DATE, ts TIMESTAMP, b BOOLEAN, m DECIMAL(4,2)"
WIDE = "SELECT 1Y AS y, 2S AS h, 3 AS i, 4L AS l, 1.5F AS f, TIMESTAMP_NTZ'2020-01-02 03:04:05' AS n, 12345678901234567890.12345BD AS m, CAST(NULL AS INT) AS z"
SPARK_CODECS = {
    "parquet": ("snappy", "gzip", "zstd", "lz4", "none"), "orc": ("snappy", "zlib", "zstd", "lz4", "none"),
    "avro": ("snappy", "deflate", "zstandard", "bzip2", "xz", "uncompressed"),
    "csv": ("gzip", "bzip2", "deflate", "none"), "json": ("gzip", "bzip2", "deflate", "none"), "text": ("gzip",),
}


def written(name, format, query, options=None, partition_by=(), schema=None, read=None):
    WRITTEN.append(Written(name, format, query, options or {}, partition_by, schema, read or {}))


for kind, codecs in SPARK_CODECS.items():
    for codec in codecs:
        rows = "concat('row ', id) AS value" if kind == "text" else "id, concat('row ', id) AS s, id % 7 AS k"
        rows = f"SELECT {rows} FROM range(100)"
        written(f"{kind}-{codec}", kind, rows, {"compression": codec}, schema={"csv": "id LONG, s STRING, k LONG"}.get(kind))
for kind in ("parquet", "orc", "avro", "json"):
    written(f"{kind}-flat", kind, VALUES)
    written(f"{kind}-nested", kind, NESTED)
    written(f"{kind}-wide", kind, WIDE)
    written(f"{kind}-partitioned", kind, "SELECT id, id % 2 AS p, concat('v=', id % 3) AS q FROM range(10)", partition_by=("p", "q"))
    written(f"{kind}-empty", kind, "SELECT 1 AS a, 'x' AS b WHERE false", schema="a INT, b STRING")
# Columns of other types than the files have.
for value, kinds in {"'a'": ("INT", "BINARY"), "1": ("BIGINT", "DOUBLE", "TINYINT", "FLOAT", "STRING", "BOOLEAN"), "1L": ("INT", "DOUBLE"),
                     "1.5F": ("DOUBLE", "INT"), "1.5D": ("FLOAT",), "true": ("INT",), "DATE'2020-01-02'": ("STRING",)}.items():
    for kind in kinds:
        name = "".join(c for c in value if c.isalnum()).lower()
        written(f"parquet-{name}-as-{kind.lower()}", "parquet", f"SELECT {value} AS c", schema=f"c {kind}")
written("csv-flat", "csv", VALUES, schema=FLAT)
written("csv-flat-header", "csv", VALUES, {"header": "true"}, read={"header": "true", "inferSchema": "true"})
written("csv-quote-all", "csv", VALUES, {"quoteAll": "true", "nullValue": "NULL", "emptyValue": ""}, schema=FLAT, read={"nullValue": "NULL"})
written("csv-odd", "csv", VALUES, {"sep": "|", "quote": "'", "escape": "^", "nullValue": "-", "dateFormat": "dd.MM.yyyy", "timestampFormat": "yyyyMMdd HHmmss"},
        schema=FLAT, read={"sep": "|", "quote": "'", "escape": "^", "nullValue": "-", "dateFormat": "dd.MM.yyyy", "timestampFormat": "yyyyMMdd HHmmss"})
written("csv-no-escape-quotes", "csv", "SELECT 'a\"b' AS s, ' c ' AS t, '#d' AS u", {"escapeQuotes": "false", "ignoreLeadingWhiteSpace": "false", "ignoreTrailingWhiteSpace": "false"})
written("csv-line-sep", "csv", "SELECT id, 'x' AS s FROM range(3)", {"lineSep": "|"}, schema="id LONG, s STRING", read={"lineSep": "|"})
written("csv-latin1", "csv", "SELECT 'é' AS s", {"encoding": "ISO-8859-1"}, schema="s STRING", read={"encoding": "ISO-8859-1"})
written("csv-wide", "csv", WIDE, schema="y BYTE, h SHORT, i INT, l LONG, f FLOAT, n TIMESTAMP_NTZ, m DECIMAL(25,5), z INT")
written("csv-partitioned", "csv", "SELECT id, id % 2 AS p FROM range(10)", partition_by=("p",), schema="id LONG")
written("json-null-fields", "json", VALUES, {"ignoreNullFields": "false"})
written("json-formats", "json", VALUES, {"dateFormat": "dd.MM.yyyy", "timestampFormat": "yyyyMMdd HHmmss"}, schema=FLAT,
        read={"dateFormat": "dd.MM.yyyy", "timestampFormat": "yyyyMMdd HHmmss"})
written("json-line-sep", "json", "SELECT id, 'x' AS s FROM range(3)", {"lineSep": "|"}, read={"lineSep": "|"})
written("json-utf16", "json", "SELECT id, 'é€' AS s FROM range(3)", {"encoding": "UTF-16LE", "lineSep": "\n"}, read={"encoding": "UTF-16LE", "lineSep": "\n"})
written("text-line-sep", "text", "SELECT concat('r', id) AS value FROM range(3)", {"lineSep": "|"}, read={"lineSep": "|"})
written("xml-flat", "xml", "SELECT 1 AS a, 'x<y' AS b, array(1, 2) AS c, named_struct('_id', 5, 'd', 'e') AS s UNION ALL SELECT 2, NULL, NULL, NULL",
        {"rowTag": "row", "rootTag": "rows"}, read={"rowTag": "row"})
