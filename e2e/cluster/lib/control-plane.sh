# etcd, the API server, the controllers, the scheduler and DNS: processes of the machine itself.

readonly ETCD=http://127.0.0.1:32379

control_plane_start() {
  make_certificates
  make_credentials
  daemon etcd "$BIN/etcd" --data-dir "$RUN/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls $ETCD --advertise-client-urls $ETCD \
    --listen-peer-urls http://127.0.0.1:32380 --initial-advertise-peer-urls http://127.0.0.1:32380 \
    --initial-cluster default=http://127.0.0.1:32380
  # Pods of a lost node are moved after 20 s instead of the usual 5 min: tests wait for it.
  daemon kube-apiserver "$BIN/kube-apiserver" --etcd-servers $ETCD \
    --advertise-address "$HOST_ADDRESS" --bind-address "$HOST_ADDRESS" --secure-port 6443 --cert-dir "$RUN/pki" \
    --tls-cert-file "$RUN/pki/apiserver.crt" --tls-private-key-file "$RUN/pki/apiserver.key" \
    --client-ca-file "$RUN/pki/ca.crt" --token-auth-file "$RUN/pki/tokens.csv" \
    --requestheader-client-ca-file "$RUN/pki/ca.crt" --requestheader-allowed-names front-proxy \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged=true \
    --service-cluster-ip-range "$SERVICE_CIDR" --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$RUN/pki/sa.key" --service-account-signing-key-file "$RUN/pki/sa.key" \
    --kubelet-preferred-address-types InternalIP \
    --default-not-ready-toleration-seconds 20 --default-unreachable-toleration-seconds 20
}

control_plane_ready() {
  wait_until 90 "the API server" "$RUN/kube-apiserver.log" kube get --raw /readyz
  daemon kube-controller-manager "$BIN/kube-controller-manager" --leader-elect=false --bind-address 127.0.0.1 \
    --kubeconfig "$RUN/pki/controllers.kubeconfig" --authentication-kubeconfig "$RUN/pki/controllers.kubeconfig" \
    --authorization-kubeconfig "$RUN/pki/controllers.kubeconfig" --use-service-account-credentials \
    --service-account-private-key-file "$RUN/pki/sa.key" --root-ca-file "$RUN/pki/ca.crt" \
    --node-monitor-period 2s --node-monitor-grace-period 20s
  daemon kube-scheduler "$BIN/kube-scheduler" --leader-elect=false --bind-address 127.0.0.1 \
    --kubeconfig "$RUN/pki/scheduler.kubeconfig" --authentication-kubeconfig "$RUN/pki/scheduler.kubeconfig" \
    --authorization-kubeconfig "$RUN/pki/scheduler.kubeconfig"
  kube create -f "$here/rbac.yaml" >/dev/null
  cat >"$RUN/Corefile" <<EOF
.:53 {
  bind $HOST_ADDRESS
  ready $HOST_ADDRESS:8181
  errors
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig $RUN/pki/dns.kubeconfig
    pods insecure
  }
  template ANY ANY . {
    rcode NXDOMAIN
  }
}
EOF
  daemon coredns "$BIN/coredns" -conf "$RUN/Corefile"
}

# What the controllers and DNS do after they start.
control_plane_settled() {
  wait_until 30 "the default service account" "$RUN/kube-controller-manager.log" kube get serviceaccount default
  wait_until 30 "DNS" "$RUN/coredns.log" answers "$HOST_ADDRESS" 8181 /ready
}

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

make_certificates() {
  local p=$RUN/pki names
  (umask 077 && mkdir -p "$p")
  names=IP:127.0.0.1,IP:$HOST_ADDRESS,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default
  names=$names,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
  key "$p/ca.key"
  key "$p/apiserver.key"
  key "$p/sa.key"
  openssl req -x509 -new -key "$p/ca.key" -out "$p/ca.crt" -days 30 -subj /CN=firesteel-test-cluster \
    -addext keyUsage=critical,keyCertSign,cRLSign
  openssl req -new -key "$p/apiserver.key" -subj /CN=kube-apiserver |
    openssl x509 -req -CA "$p/ca.crt" -CAkey "$p/ca.key" -CAcreateserial -days 30 -out "$p/apiserver.crt" \
      -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$names") 2>/dev/null
}

# credential NAME USER [GROUP] FILE: a random token, known to the API server, in a kubeconfig that needs no other file.
credential() {
  local token
  token=$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')
  echo "$token,$1,$1${2:+,$2}" >>"$RUN/pki/tokens.csv"
  (umask 077 && cat >"$3") <<EOF
apiVersion: v1
kind: Config
clusters:
- name: firesteel-test
  cluster:
    server: https://$HOST_ADDRESS:6443
    certificate-authority-data: $(base64 -w0 "$RUN/pki/ca.crt")
users:
- name: "$1"
  user: {token: "$token"}
contexts:
- name: firesteel-test
  context: {cluster: firesteel-test, user: "$1"}
current-context: firesteel-test
EOF
}

make_credentials() {
  local n
  (umask 077 && : >"$RUN/pki/tokens.csv")
  credential admin system:masters "$RUN/admin.kubeconfig"
  credential system:kube-controller-manager '' "$RUN/pki/controllers.kubeconfig"
  credential system:kube-scheduler '' "$RUN/pki/scheduler.kubeconfig"
  credential system:kube-proxy '' "$RUN/pki/proxy.kubeconfig"
  credential firesteel-test:dns '' "$RUN/pki/dns.kubeconfig"
  for n in $(seq 1 "$NODES"); do credential "system:node:node$n" system:nodes "$RUN/pki/node$n.kubeconfig"; done
}
