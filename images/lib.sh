# Shared by images/build and e2e/cluster: images are made without Docker, a daemon or a registry.

CACHE=${FIRESTEEL_CACHE:-$HOME/.cache/firesteel}

# buildah with its storage in the cache, away from the machine's own.
builder() {
  BUILDAH_ISOLATION=chroot buildah --root "$CACHE/containers/storage" --runroot "$CACHE/containers/run" "$@"
}

# extract_packages ROOT PACKAGE…: the files of these Debian packages, of the release this machine runs (so that the C
# library fits the binaries built here), with no maintainer script run and nothing else installed.
extract_packages() {
  local root=$1 work package
  shift
  work=$(mktemp -d)
  chmod 755 "$work"
  (
    cd "$work"
    apt-get -qq download "$@" 2>/dev/null || { apt-get -qq update && apt-get -qq download "$@"; }
    # /lib and friends are links into /usr: made first, so that packages from before and after that change both fit.
    mkdir -p "$root"/usr/{bin,sbin,lib,lib64}
    for directory in bin sbin lib lib64; do [ -e "$root/$directory" ] || ln -s "usr/$directory" "$root/$directory"; done
    for package in ./*.deb; do
      dpkg-deb --fsys-tarfile "$package" | tar --extract --keep-directory-symlink --directory "$root"
    done
  ) || { rm -rf "$work"; return 1; }
  rm -rf "$work"
}

# oci_image NAME ROOT ENTRYPOINT ARCHIVE: an image of one layer, the files under ROOT, as an OCI archive.
oci_image() {
  local name=$1 root=$2 entrypoint=$3 archive=$4 container
  container=$(builder from scratch)
  builder add --quiet "$container" "$root" / >/dev/null
  builder config --entrypoint "$entrypoint" --env PATH=/bin "$container"
  rm -f "$archive.new"
  builder commit --quiet --rm "$container" "oci-archive:$archive.new:$name" >/dev/null
  mv "$archive.new" "$archive"
}
