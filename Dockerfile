# syntax=docker/dockerfile:1

# The production image: one static binary, no shell, not root.
#
#   docker build --build-arg VERSION=v1.2.3 -t dealwright .
#   docker run --rm dealwright --help

FROM --platform=$BUILDPLATFORM golang:1.26 AS build

WORKDIR /src

# Dependencies change less often than code, so they are a layer of their own.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod \
    go mod download

COPY . .

ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
# When the source was committed, as 20061231T150405Z: without it, builds of the worker are put in
# order by VERSION, where that is a semantic one.
ARG COMMITTED=
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -trimpath -buildvcs=false \
        -ldflags "-s -w -X main.version=${VERSION} -X github.com/dealwright/dealwright/cmd/dealwright/app.committed=${COMMITTED}" \
        -o /out/dealwright ./cmd/dealwright

FROM gcr.io/distroless/static-debian12:nonroot

ARG VERSION=dev
LABEL org.opencontainers.image.title="Dealwright" \
      org.opencontainers.image.description="Event-sourced workflow engine for sales pipelines" \
      org.opencontainers.image.source="https://github.com/dealwright/dealwright" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"

COPY --from=build /out/dealwright /dealwright
COPY LICENSE /LICENSE

# Inside a container the port mapping decides who may connect.
ENV DEALWRIGHT_ADDR=0.0.0.0:8080
EXPOSE 8080

USER nonroot:nonroot

ENTRYPOINT ["/dealwright"]
