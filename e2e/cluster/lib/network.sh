# One bridge; the machine and every node have an address on it. Pods are routed, never bridged, so that each packet of
# a Service passes its node's rules.

node_address() { echo "10.89.0.$((10 + $1))"; }

network_up() {
  local owner
  if ip link show "$BRIDGE" >/dev/null 2>&1; then
    owner=$(ip -o link show "$BRIDGE" | sed -n 's/.*alias //p')
    die "the bridge $BRIDGE exists, of the cluster in '${owner:-unknown}': RUN='$owner' cluster down"
  fi
  ip link add "$BRIDGE" type bridge
  ip link set "$BRIDGE" alias "$RUN"
  ip addr add "$HOST_ADDRESS/24" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  sysctl -qw net.ipv4.ip_forward=1
  # Each is put before the ones above it. Nothing leaves the machine: what is not for the cluster is refused at once.
  rule FORWARD -i "$BRIDGE" -j REJECT
  rule FORWARD -o "$BRIDGE" -j ACCEPT
  rule INPUT -i "$BRIDGE" -j ACCEPT
}

rule() { iptables -w -I "$@" -m comment --comment "$RULE_COMMENT"; }

# Services answer the machine too, through node 1 and its kube-proxy.
network_route_services() { ip route replace "$SERVICE_CIDR" via "$(node_address 1)"; }

network_down() {
  local rule link
  { iptables-save 2>/dev/null || true; } | sed -n "/--comment $RULE_COMMENT /s/^-A/-D/p" | while read -r rule; do
    # shellcheck disable=SC2086
    iptables -w $rule
  done
  if ip link show "$BRIDGE" >/dev/null 2>&1; then ip link delete "$BRIDGE"; fi # its routes go with it
  for link in $(ip -o link show type veth | sed -n 's/^[0-9]*: \(fsveth[0-9]\)@.*/\1/p'); do
    ip link delete "$link" 2>/dev/null || true # it may be going with its node at this moment
  done
}
