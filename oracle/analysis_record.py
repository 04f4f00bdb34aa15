#!/usr/bin/env python3
"""Records what real Spark's analysis answers, statement by statement: names and types of the columns, or the error.

The statements are the lines of cases/analysis.sql; each runs in a session that made the tables of
cases/analysis-setup.sql. Of an error its class, SQLSTATE, parameters and the fragment of the query it points at are kept.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import canonical

HERE = pathlib.Path(__file__).parent


def main():
    scratch = tempfile.mkdtemp(prefix="spark-oracle-")
    out = HERE / "expected" / "analysis.jsonl"
    try:
        spark = canonical.spark_session(scratch, [], 1)
        for statement in (HERE / "cases" / "analysis-setup.sql").read_text().split(";\n"):
            if statement.strip():
                spark.sql(statement)
        lines = []
        for sql in (HERE / "cases" / "analysis.sql").read_text().splitlines():
            lines.append(json.dumps({"sql": sql} | answer(spark, sql), ensure_ascii=False))
        out.write_text("\n".join(lines) + "\n")
        print(f"{len(lines)} statements in {out}", file=sys.stderr)
        spark.stop()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def answer(spark, sql):
    try:
        frame = spark.sql(sql)
        return {"columns": [[field.name, field.dataType.simpleString(), field.nullable] for field in frame.schema]}
    except Exception as error:
        error_class = error.getCondition() if hasattr(error, "getCondition") else None
        if error_class is None:
            return {"error": type(error).__name__, "message": str(error).splitlines()[0]}
        contexts = error.getQueryContext()
        return {
            "error": error_class,
            "state": error.getSqlState(),
            "parameters": dict(error.getMessageParameters()),
            "fragment": contexts[0].fragment() if contexts else None,
        }


if __name__ == "__main__":
    main()
