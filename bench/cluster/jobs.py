"""SparkJobs of the benchmarks on a cluster."""

import json
import subprocess
import sys
import time

NAMESPACE = "firesteel-bench"
LIMIT = 3600


def folder(path, name="data", read_only=True):
    """Volumes and mounts by which a pod sees a folder of this machine."""
    return {"volumes": [{"name": name, "hostPath": {"path": str(path), "type": "Directory"}}],
            "volumeMounts": [{"name": name, "mountPath": str(path), "readOnly": read_only}]}


def both(one, other):
    return {key: one[key] + other[key] for key in one}


def run(name, spec, seen):
    """Submits a job and waits for its end; `seen(seconds, status)` is called at each change. Answers seconds and the last status."""
    job = {"apiVersion": "firesteel.dev/v1alpha1", "kind": "SparkJob",
           "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}
    kubectl("delete", "sparkjob", name, "--ignore-not-found", "--wait")
    began = time.monotonic()
    kubectl("create", "-f", "-", text=json.dumps(job))
    watch = subprocess.Popen(["kubectl", "-n", NAMESPACE, "get", "sparkjob", name, "--watch", "-o", "json"],
                             stdout=subprocess.PIPE, text=True)
    try:
        for state in documents(watch.stdout):
            status = state.get("status", {})
            now = time.monotonic() - began
            seen(now, status)
            if status.get("phase") == "Succeeded":
                return now, status
            if status.get("phase") == "Failed" or now > LIMIT:
                sys.exit(f"the job did not succeed: {status.get('reason')}: {status.get('message')}")
    finally:
        watch.kill()
    sys.exit("kubectl stopped watching")


def documents(stream):
    """JSON objects that follow each other on a stream."""
    decoder, held = json.JSONDecoder(), ""
    for line in stream:
        held += line
        if line.rstrip() == "}":
            yield decoder.decode(held)
            held = ""


def kubectl(*arguments, text=None):
    done = subprocess.run(["kubectl", "-n", NAMESPACE, *arguments], input=text, text=True, check=True, stdout=subprocess.PIPE)
    return done.stdout
