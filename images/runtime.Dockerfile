# The driver's and executors' image: one binary, whose hidden subcommands `driver` and `executor` pods call.
#
#   docker build -f images/runtime.Dockerfile --build-arg BASE_IMAGE=debian:bookworm-slim -t firesteel-runtime:dev CONTEXT
#
# CONTEXT is a folder with the binary `firesteel` and `ca-certificates.crt` (`images/build --context CONTEXT` makes one).
# The base must bring glibc at least as new as the machine that built the binary, libgcc, and time zone data; no shell is
# needed. The root file system may be read-only: everything is written below the folders pods mount (and /tmp).
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --chmod=0755 firesteel /usr/local/bin/firesteel
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# A number, so that Kubernetes can check `runAsNonRoot` without reading the image's user table.
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["/usr/local/bin/firesteel"]
