# The way back: whatever `up` made is found by its fixed names and marks, not by a memory of having made it.

# Settings of the whole machine that the kubelet and the network change. They are kept beside the state folder, which
# someone may have removed.
readonly SYSCTLS="net.ipv4.ip_forward vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops
  kernel.keys.root_maxkeys kernel.keys.root_maxbytes"

remember_sysctls() {
  local name
  [ ! -f "$CACHE/cluster.sysctls" ] || return 0
  for name in $SYSCTLS; do
    ! sysctl -n "$name" >/dev/null 2>&1 || echo "$name=$(sysctl -n "$name")"
  done >"$CACHE/cluster.sysctls.new"
  mv "$CACHE/cluster.sysctls.new" "$CACHE/cluster.sysctls"
}

tear_down() {
  local pids pid n
  # Nodes first, by their init processes: their parents then see them end.
  for pid in $(member_pids); do
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != pause ] || kill -KILL "$pid" 2>/dev/null || true
  done
  # Between a process's start and its mark a child may be missed: look until nothing is found.
  for _ in $(seq 1 50); do
    sleep 0.1
    pids=$(member_pids)
    [ -n "$pids" ] || break
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || true
  done
  [ -z "$pids" ] || die "these processes of the cluster do not end: $pids"
  if owns_bridge; then
    network_down
    for n in $(seq 1 "$MAX_NODES"); do cgroup_down "$n"; done
    [ ! -f "$CACHE/cluster.sysctls" ] || sysctl -qp "$CACHE/cluster.sysctls" 2>/dev/null || true
    rm -f "$CACHE/cluster.sysctls"
  fi
  if is_state_folder; then rm -rf --one-file-system "${RUN:?}"; fi
}

# Nothing is touched that a cluster of another state folder uses.
owns_bridge() {
  local owner
  ip link show "$BRIDGE" >/dev/null 2>&1 || return 0
  owner=$(ip -o link show "$BRIDGE" | sed -n 's/.*alias //p')
  [ -z "$owner" ] || [ "$owner" = "$RUN" ] || [ ! -d "$owner" ]
}
