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
  local rule
  for rule in "FORWARD -i" "FORWARD -o" "INPUT -i"; do
    # shellcheck disable=SC2086
    iptables -w -I $rule "$BRIDGE" -m comment --comment "$RULE_COMMENT" -j ACCEPT
  done
}

# Services answer the machine too, through node 1 and its kube-proxy.
network_route_services() { ip route replace "$SERVICE_CIDR" via "$(node_address 1)"; }

network_down() {
  local rule
  iptables-save 2>/dev/null | grep -- "--comment $RULE_COMMENT " | sed 's/^-A/-D/' | while read -r rule; do
    # shellcheck disable=SC2086
    iptables -w $rule
  done
  if ip link show "$BRIDGE" >/dev/null 2>&1; then ip link delete "$BRIDGE"; fi # its routes go with it
  ip -o link show type veth | sed -n 's/^[0-9]*: \(fsveth[0-9]\)@.*/\1/p' | while read -r link; do
    ip link delete "$link" 2>/dev/null || true # it may be going with its node at this moment
  done
}
