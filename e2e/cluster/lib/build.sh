# Binaries and images, kept in the cache and rebuilt only when what they are made from changes.

# shellcheck source=images/lib.sh
. "$here/../../images/lib.sh"

readonly PACKAGES="containerd runc iproute2 iptables containernetworking-plugins openssl buildah procps util-linux"
readonly PROGRAMS="etcd kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubectl kubelet"

install_packages() {
  local missing=() package
  for package in $PACKAGES; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  log "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  mkdir -p "$CACHE"
  { apt-get update -q && apt-get install -qy --no-install-recommends "${missing[@]}"; } \
    >"$CACHE/apt.log" 2>&1 || { tail -n 20 "$CACHE/apt.log" >&2; die "cannot install ${missing[*]}; see $CACHE/apt.log"; }
}

module_version() { sed -n "s#^\s*$1 \(v[0-9][^ ]*\).*#\1#p" "$here/go.mod" | head -1; }

build_all() {
  local kubernetes helm version program
  kubernetes=$(module_version k8s.io/kubernetes)
  helm=$(module_version helm.sh/helm/v4)
  version=k8s.io/component-base/version
  mkdir -p "$BIN" "$IMAGES"
  go_program kubernetes ./kubernetes "-X $version.gitVersion=$kubernetes -X $version.gitTreeState=clean
    -X $version.gitMajor=1 -X $version.gitMinor=$(echo "$kubernetes" | cut -d. -f2)"
  for program in $PROGRAMS; do ln -sfn kubernetes "$BIN/$program"; done
  go_program coredns ./coredns ''
  go_program pause ./pause ''
  go_program helm helm.sh/helm/v4/cmd/helm "-X helm.sh/helm/v4/internal/version.version=$helm"
  image_pause
  image_busybox
}

# go_program NAME PACKAGE LDFLAGS
go_program() {
  local name=$1 package=$2 flags="-s -w $3" stamp
  stamp=$(cd "$here" && { cat go.mod go.sum ./"$name"/*.go 2>/dev/null || true; echo "$flags"; } | sha256sum)
  [ ! -x "$BIN/$name" ] || [ "$stamp" != "$(cat "$BIN/$name.stamp" 2>/dev/null)" ] || return 0
  command -v go >/dev/null || die "building $name needs Go $(sed -n 's/^go //p' "$here/go.mod") or newer on PATH"
  log "building $name (minutes the first time; kept in $BIN)"
  (cd "$here" && CGO_ENABLED=0 nice -n 10 go build -trimpath -buildvcs=false -ldflags "$(echo $flags)" -o "$BIN/$name" "$package") ||
    die "cannot build $name"
  echo "$stamp" >"$BIN/$name.stamp"
}

image_pause() {
  local archive=$IMAGES/pause.tar root
  [ ! -f "$archive" ] || [ "$BIN/pause" -nt "$archive" ] || return 0
  root=$(mktemp -d)
  chmod 755 "$root"
  cp "$BIN/pause" "$root/pause"
  oci_image firesteel.local/pause:1 "$root" '["/pause"]' "$archive"
  rm -r "$root"
}

# A small image with a shell, for tests of the cluster itself and for looking around in it. With the C library beside it,
# so that it looks names up as other programs do. (Its `wget` crashes when given -T.)
image_busybox() {
  local archive=$IMAGES/busybox.tar root applet
  [ ! -f "$archive" ] || return 0
  root=$(mktemp -d)
  chmod 755 "$root"
  extract_packages "$root" busybox libc6 || die "cannot download the packages busybox and libc6"
  rm -rf "$root"/usr/share "$root"/usr/lib/*/gconv
  mkdir -p "$root"/{etc,home,root}
  mkdir -m 1777 "$root/tmp"
  for applet in $(chroot "$root" /bin/busybox --list); do [ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"; done
  printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
  printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
  oci_image firesteel.local/busybox:1 "$root" '["/bin/sh"]' "$archive"
  rm -rf "$root"
}
