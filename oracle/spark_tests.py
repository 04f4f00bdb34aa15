"""The jar of Spark's own tests, which Maven downloads once: golden files, their data, the queries of TPC-DS."""

import os
import pathlib
import shutil
import subprocess
import sys

VERSION = "4.2.0"
ARTIFACT = f"org.apache.spark:spark-sql_2.13:{VERSION}:jar:tests"
CACHE = pathlib.Path(os.environ.get("FIRESTEEL_CACHE", pathlib.Path.home() / ".cache/firesteel"))
FOLDER = CACHE / "golden" / VERSION


def jar():
    """Its path; downloads it when it is missing."""
    path = FOLDER / f"spark-sql_2.13-{VERSION}-tests.jar"
    if path.exists():
        return path
    if shutil.which("mvn") is None:
        sys.exit(f"Spark's own tests are in {ARTIFACT}, which Maven downloads, and there is no mvn. Install it (Debian: apt-get install"
                 f" maven), or put the jar of Maven Central at {path}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    print(f"downloading {ARTIFACT}", file=sys.stderr)
    command = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={FOLDER}"]
    ended = subprocess.run(command, cwd=FOLDER, stdin=subprocess.DEVNULL)
    if ended.returncode != 0 or not path.exists():
        sys.exit(f"Maven did not bring {ARTIFACT}")
    return path
