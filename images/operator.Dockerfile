# The operator's image: one binary.
#
#   docker build -f images/operator.Dockerfile --build-arg BASE_IMAGE=debian:bookworm-slim -t firesteel-operator:dev CONTEXT
#
# CONTEXT is a folder with the binary `firesteel-operator` (`images/build --context CONTEXT` makes one). The base must
# bring glibc at least as new as the machine that built the binary, and libgcc; no shell is needed. The root file system
# may be read-only. The API server's certificate authority comes with the pod's service account, not from here.
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}
COPY --chmod=0755 firesteel-operator /usr/local/bin/firesteel-operator
# A number, so that Kubernetes can check `runAsNonRoot` without reading the image's user table.
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/usr/local/bin/firesteel-operator"]
