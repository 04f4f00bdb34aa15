# A node is an init process (`pause`) with its own process, mount, network, host-name and IPC namespaces; containerd,
# the kubelet and kube-proxy run inside. Killing that one process ends everything the node has, containers and mounts
# included, as power loss would; its disk ($RUN/nodeN) stays until the cluster goes down.

node_init() {
  local pid
  pid=$(cat "$RUN/node$1/init.pid" 2>/dev/null) || return 1
  [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = pause ] && echo "$pid"
}

node_must_run() { node_init "${1:-}" >/dev/null || die "no node $1 runs here (cluster status)"; }

running_nodes() {
  local n
  for n in $(seq 1 "$MAX_NODES"); do ! node_init "$n" >/dev/null || echo "$n"; done
}

node_exec() {
  local n=${1:?the number of a node} pid
  shift
  pid=$(node_init "$n") || die "node$n does not run"
  nsenter --target "$pid" --mount --uts --ipc --net --pid -- "$@"
}

node_daemon() {
  local n=$1 name=$2
  shift 2
  daemon "node$n-$name" nsenter --target "$(node_init "$n")" --mount --uts --ipc --net --pid -- "$@"
}

# Everything up to a containerd that answers and has the cluster's own images.
node_start_runtime() {
  local n=$1 dir=$RUN/node$1
  mkdir -p "$dir"/{lib/containerd,lib/kubelet,log,cni}
  cgroup_up "$n"
  daemon "node$n-init" unshare --net --pid --mount --uts --ipc --fork --kill-child --mount-proc \
    --propagation private -- "$BIN/pause"
  wait_until 10 "the init process of node$n" "$RUN/node$n-init.log" node_find_init "$n"
  node_files "$n"
  node_network_up "$n"
  # What programs write in /run, /var/lib and /var/log stays inside the node.
  node_exec "$n" sh -ec "
    mount --make-rshared /
    mount -t tmpfs -o mode=755 node-run /run
    mount --bind '$dir/lib' /var/lib
    mount --bind '$dir/log' /var/log
    mount --bind '$dir/resolv.conf' /etc/resolv.conf
    hostname 'node$n'"
  node_daemon "$n" containerd containerd --config "$dir/containerd.toml"
  wait_until 30 "containerd of node$n" "$RUN/node$n-containerd.log" node_exec "$n" ctr version
  node_load_images "$n" "$IMAGES/pause.tar" "$IMAGES/busybox.tar"
}

node_find_init() {
  local children
  children=$(pgrep -P "$(cat "$RUN/node$1-init.pid")" -x pause) && echo "$children" >"$RUN/node$1/init.pid"
}

node_network_up() {
  local n=$1 address pid other
  address=$(node_address "$n")
  pid=$(node_init "$n")
  ip link delete "fsveth$n" 2>/dev/null || true
  ip link add "fsveth$n" type veth peer name eth0 netns "$pid"
  ip link set "fsveth$n" master "$BRIDGE" up
  {
    echo "link set lo up"
    echo "addr add $address/24 dev eth0"
    echo "link set eth0 up"
    echo "route add default via $HOST_ADDRESS"
    for other in $(seq 1 "$NODES"); do
      [ "$other" = "$n" ] || echo "route add 10.244.$other.0/24 via $(node_address "$other")"
    done
  } | nsenter --target "$pid" --net ip -batch -
  nsenter --target "$pid" --net sysctl -qw net.ipv4.ip_forward=1
  ip route replace "10.244.$n.0/24" via "$address"
  [ "$n" != 1 ] || network_route_services
}

node_files() {
  local n=$1 dir=$RUN/node$1
  # Names outside the cluster do not exist for a node either, so that pulling an unknown image fails at once.
  echo "nameserver $HOST_ADDRESS" >"$dir/resolv.conf"
  cat >"$dir/cni/10-pods.conflist" <<EOF
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "ptp", "ipam": {"type": "host-local", "dataDir": "/run/cni-addresses",
    "ranges": [[{"subnet": "10.244.$n.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
EOF
  cat >"$dir/containerd.toml" <<EOF
version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "firesteel.local/pause:1"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$dir/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
EOF
  # The memory a node does not offer is declared as the system's, so that nodes sharing a machine do not each offer all
  # of it. Images are never collected: no registry could give them back.
  cat >"$dir/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $(node_address "$n")
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP_PREFIX$n
cgroupsPerQOS: true
clusterDNS: [$HOST_ADDRESS]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
enforceNodeAllocatable: [pods]
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
failCgroupV1: false
failSwapOn: false
imageGCHighThresholdPercent: 100
nodeLeaseDurationSeconds: 20
nodeStatusUpdateFrequency: 4s
resolvConf: ""
serializeImagePulls: false
systemReserved: {memory: $(($(machine_memory_mib) - NODE_MEMORY_MIB))Mi}
volumePluginDir: /var/lib/kubelet/volume-plugins
EOF
}

node_start_kubelet() {
  local n=$1
  node_daemon "$n" kubelet "$BIN/kubelet" --config "$RUN/node$n/kubelet.yaml" \
    --kubeconfig "$RUN/pki/node$n.kubeconfig" --hostname-override "node$n" --node-ip "$(node_address "$n")"
  node_daemon "$n" kube-proxy "$BIN/kube-proxy" --kubeconfig "$RUN/pki/proxy.kubeconfig" \
    --hostname-override "node$n" --proxy-mode iptables --cluster-cidr "$POD_CIDR" --conntrack-max-per-core 0
}

# answers ADDRESS PORT PATH: with 200.
answers() {
  exec 3<>"/dev/tcp/$1/$2" && printf 'GET %s HTTP/1.0\r\n\r\n' "$3" >&3 && head -1 <&3 | grep -q ' 200 '
}

# Ready means: the node takes pods, and Services answer on it.
wait_for_nodes() {
  local n names=()
  for n in "$@"; do names+=("node/node$n"); done
  wait_until 60 "registration of the nodes" "$RUN/node$1-kubelet.log" kube get "${names[@]}"
  kube wait --for=condition=Ready "${names[@]}" --timeout=90s >/dev/null || {
    kube describe nodes | sed -n '/^Conditions/,/^Addresses/p' >&2
    die "the nodes do not become ready: see $RUN/node$1-kubelet.log"
  }
  for n in "$@"; do
    wait_until 60 "kube-proxy of node$n" "$RUN/node$n-kube-proxy.log" answers "$(node_address "$n")" 10256 /healthz
  done
}

# node_load_images N ARCHIVE…: an archive that the node has got already, unchanged, is skipped.
node_load_images() {
  local n=$1 archive mark
  shift
  for archive in "$@"; do
    [ -f "$archive" ] || die "no image archive $archive"
    mark=$(stat -c '%n %s %y %i' "$archive")
    grep -qxF "$mark" "$RUN/node$n/images" 2>/dev/null && continue
    node_exec "$n" ctr --namespace k8s.io images import - <"$archive" >/dev/null || die "node$n refuses $archive"
    echo "$mark" >>"$RUN/node$n/images"
  done
}

# Power loss: the pods' processes and cgroups go too, the disk stays.
node_kill() {
  local pid
  pid=$(node_init "$1") || return 0
  kill -KILL "$pid"
  wait_until 20 "the end of node$1's processes" /dev/null processes_gone "$(cat "$RUN/node$1-init.pid")"
  rm -f "$RUN/node$1"/init.pid "$RUN/node$1"-*.pid
  cgroup_down "$1"
}

processes_gone() { local pid; for pid in "$@"; do ! kill -0 "$pid" 2>/dev/null || return 1; done; }

cgroup_up() {
  local root=/sys/fs/cgroup name=$CGROUP_PREFIX$1 hierarchy controller
  if on_cgroup_v2; then
    mkdir -p "$root/$name"
    for controller in cpu cpuset memory pids io; do
      grep -qw "$controller" "$root/cgroup.controllers" || continue
      echo "+$controller" >"$root/cgroup.subtree_control"
      echo "+$controller" >"$root/$name/cgroup.subtree_control"
    done
    return
  fi
  for hierarchy in "$root"/*/; do
    [ ! -f "$hierarchy/cgroup.procs" ] || mkdir -p "$hierarchy/$name"
  done
  for file in cpuset.cpus cpuset.mems; do
    [ ! -f "$root/cpuset/$file" ] || cat "$root/cpuset/$file" >"$root/cpuset/$name/$file"
  done
}

cgroup_down() {
  local try
  for try in $(seq 1 100); do
    [ -n "$(cgroup_list "$1")" ] || return 0
    cgroup_list "$1" | xargs -r rmdir 2>/dev/null || sleep 0.1 # processes still ending hold their cgroup
  done
  die "cgroups of node$1 stay after $try tries: $(cgroup_list "$1" | head -3)"
}

# Children before their parents.
cgroup_list() {
  local top
  for top in /sys/fs/cgroup/"$CGROUP_PREFIX$1" /sys/fs/cgroup/*/"$CGROUP_PREFIX$1"; do
    # A co-mounted hierarchy appears under several names, as links: one is enough.
    [ ! -d "$top" ] || [ -L "$(dirname "$top")" ] || find "$top" -depth -type d 2>/dev/null
  done
}
