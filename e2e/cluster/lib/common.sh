# Shared by every part: messages, the lock, the state folder, daemons and their marks.

log() { echo "cluster: $*" >&2; }
die() { log "$*"; exit 1; }
kube() { "$BIN/kubectl" --kubeconfig "$RUN/admin.kubeconfig" "$@"; }
need_root() { [ "$(id -u)" = 0 ] || die "needs root: namespaces, cgroups and network links are made"; }
machine_memory_mib() { awk '/^MemTotal:/ {print int($2 / 1024)}' /proc/meminfo; }
on_cgroup_v2() { [ -f /sys/fs/cgroup/cgroup.controllers ]; }

# One command that changes the cluster at a time. Daemons are started with the lock's descriptor closed.
lock() {
  mkdir -p "$CACHE"
  exec 9>"$CACHE/cluster.lock"
  flock --timeout 1800 9 || die "another cluster command has held $CACHE/cluster.lock for half an hour"
}

# wait_until SECONDS WHAT LOGFILE COMMAND…: polls, and shows the end of the log when the time is over.
wait_until() {
  local limit=$1 what=$2 logfile=$3 end
  shift 3
  end=$(($(date +%s) + limit))
  until ("$@") >/dev/null 2>&1; do
    if [ "$(date +%s)" -ge "$end" ]; then
      [ ! -f "$logfile" ] || tail -n 20 "$logfile" >&2
      die "$what: not within $limit s; see $logfile"
    fi
    sleep 0.1
  done
}

# Waits for every background job of this shell and fails if one did.
wait_each() {
  local job failed=0
  for job in $(jobs -p); do wait "$job" || failed=1; done
  [ $failed = 0 ] || die "$1: failed, see the messages above"
}

# The state folder carries a mark, so that `down` never removes a folder that something else made.
mark_state_folder() {
  case $RUN/ in
    /run/* | /var/lib/* | /var/log/* | /proc/* | /sys/*) die "RUN=$RUN: nodes hide that folder; choose another" ;;
  esac
  mkdir -p "$RUN"
  is_state_folder || [ -z "$(ls -A "$RUN")" ] || die "RUN=$RUN is not empty and not a cluster's; choose another"
  touch "$RUN/.firesteel-cluster"
  echo "$NODES" >"$RUN/nodes"
  echo "$NODE_MEMORY_MIB" >"$RUN/node-memory-mib"
}

is_state_folder() { [ -f "$RUN/.firesteel-cluster" ] || { [ -d "$RUN" ] && [ "$RUN" = "$CACHE/cluster" ]; }; }

# daemon NAME COMMAND…: a long-running process with a log, a pid file, and a mark in its environment by which `down`
# finds it even when the pid file is lost.
daemon() {
  local name=$1
  shift
  FIRESTEEL_CLUSTER_MEMBER=$RUN setsid "$@" >>"$RUN/$name.log" 2>&1 </dev/null 9>&- &
  echo $! >"$RUN/$name.pid"
  disown $!
}

# Pids of every process of the cluster in RUN. Those inside nodes end with their node.
member_pids() {
  local environment pid
  for environment in $(grep -lzxF "FIRESTEEL_CLUSTER_MEMBER=$RUN" /proc/[0-9]*/environ 2>/dev/null || true); do
    pid=${environment#/proc/}
    echo "${pid%/environ}"
  done
}

daemon_alive() { [ -f "$RUN/$1.pid" ] && kill -0 "$(cat "$RUN/$1.pid")" 2>/dev/null; }

# What a running cluster was made from: another set of binaries or scripts is another cluster.
fingerprint() { cat "$BIN"/*.stamp "$here/cluster" "$here"/lib/*.sh "$RUN/nodes" "$RUN/node-memory-mib" | sha256sum; }

is_healthy() {
  local daemon n ready
  for daemon in etcd kube-apiserver kube-controller-manager kube-scheduler coredns; do
    daemon_alive "$daemon" || { log "$daemon does not run"; return 1; }
  done
  kube get --raw '/readyz' >/dev/null 2>&1 || return 1
  ready=$(kube get nodes -o jsonpath='{range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status} {end}') || return 1
  for n in $(seq 1 "$(cat "$RUN/nodes")"); do
    case " $ready" in *" node$n=True "*) ;; *) log "node$n is not ready"; return 1 ;; esac
    node_init "$n" >/dev/null || { log "node$n does not run"; return 1; }
  done
}

is_reusable() {
  [ -f "$RUN/fingerprint" ] && [ "$(cat "$RUN/nodes")" = "$NODES" ] &&
    [ "$(cat "$RUN/node-memory-mib")" = "$NODE_MEMORY_MIB" ] && [ "$(fingerprint)" = "$(cat "$RUN/fingerprint")" ] &&
    is_healthy
}
